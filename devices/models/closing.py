"""That open lines must end."""

from django.db import models
from django.utils import timezone


class Closing(models.Model):
    """A note that a device's open lines must end, or a subscriber's; every node reads it, and it goes after an hour.

    With `before`, only those whose tokens were issued before it.
    """

    device = models.UUIDField(null=True)
    subscriber = models.UUIDField(null=True)
    before = models.DateTimeField(null=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.device or self.subscriber} at {self.at}"
