"""Model fields that follow another field of the same row whenever it is saved, one by one or in bulk."""

import hashlib

from django.db import models

from devices.push_subscriptions import address_of
from devices.versions import in_order


def token_digest(token: str) -> str:
    """Return the digest that tokens are compared by (SHA-256, hex), empty for an empty token."""
    return hashlib.sha256(address_of(token).encode()).hexdigest() if token else ""


class TokenDigestField(models.CharField):  # type: ignore[type-arg]
    """The digest of the row's `token`: an index cannot hold a token itself, which has no longest length."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        value = token_digest(getattr(model_instance, "token", ""))
        setattr(model_instance, self.attname, value)
        return value


class VersionOrderField(models.CharField):  # type: ignore[type-arg]
    """The row's `app_version` in a form that sorts."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        value = in_order(getattr(model_instance, "app_version", ""))
        setattr(model_instance, self.attname, value)
        return value
