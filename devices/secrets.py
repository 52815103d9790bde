"""Secrets at rest: the key ring and the model field that encrypts with it."""

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class SecretError(Exception):
    """A stored secret was written with a key that is no longer on the ring."""


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured(
            "The key ring is empty: set NOTIFYHUB_KEY_RING or run `manage.py prepare`."
        )
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(value: Any) -> str:
    """Return a JSON value as text that only the key ring can read (Fernet, newest key)."""
    return _ring(tuple(settings.KEY_RING)).encrypt(json.dumps(value).encode()).decode()


def decrypt(text: str) -> Any:
    """Return the JSON value of `encrypt`; raises `SecretError` when no key on the ring fits."""
    try:
        return json.loads(_ring(tuple(settings.KEY_RING)).decrypt(text.encode()))
    except InvalidToken:
        raise SecretError(
            "No key on the ring can read this secret; put the key it was written with back."
        ) from None


class EncryptedJSONField(models.TextField):  # type: ignore[type-arg]
    """A JSON value that stands encrypted in the database and is plain on the instance."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None or value == "" else decrypt(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else encrypt(value)

    def value_to_string(self, obj: Any) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))
