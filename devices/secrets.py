"""Secrets at rest: the key ring and the model field that encrypts with it."""

import json
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, router


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


class Rotated(msgspec.Struct):
    """What became of a column's secrets: written anew (or to be), current already, and the rows none can read."""

    rotated: int = 0
    current: int = 0
    unreadable: list[Any] = []


def rotate(model: type[models.Model], column: str, *, write: bool = True) -> Rotated:
    """Encrypt a column's secrets with the newest key on the ring, unless they are; without `write` only count.

    A row that somebody writes meanwhile keeps what they wrote: it is under the newest key anyway.
    """
    ring = _ring(tuple(settings.KEY_RING))
    newest = Fernet(settings.KEY_RING[0])
    found = Rotated()
    connection = connections[router.db_for_write(model)]
    quote = connection.ops.quote_name
    table, name, key = quote(model._meta.db_table), quote(column), quote(str(model._meta.pk.column))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, {name} FROM {table} WHERE {name} IS NOT NULL AND {name} <> '' ORDER BY {key}"
        )
        rows = cursor.fetchall()
        for row, text in rows:
            if _readable(newest, text):
                found.current += 1
                continue
            try:
                anew = ring.rotate(text.encode()).decode()
            except InvalidToken:
                found.unreadable.append(row)
                continue
            if write:
                cursor.execute(
                    f"UPDATE {table} SET {name} = %s WHERE {key} = %s AND {name} = %s", [anew, row, text]
                )
            found.rotated += 1
    return found


def _readable(key: Fernet, text: str) -> bool:
    try:
        key.decrypt(text.encode())
    except InvalidToken:
        return False
    return True
