"""That open lines must end."""

from django.db import models
from django.utils import timezone


class Closing(models.Model):
    """A note that open lines must end; every node reads it, and it goes after an hour.

    A device's, a subscriber's (with `before`, only those whose tokens were issued before it), or all whose
    tokens a signing key has signed (its primary key, which may be gone).
    """

    device = models.UUIDField(null=True)
    subscriber = models.UUIDField(null=True)
    signing_key = models.BigIntegerField(null=True)
    before = models.DateTimeField(null=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.device or self.subscriber or self.signing_key} at {self.at}"
