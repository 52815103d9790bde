"""At which hours of the day people open what they are told, kept small: one row for each, and one for all."""

from django.db import models

from devices.models.application import Application
from devices.models.people import Subscriber


class OpenHours(models.Model):
    """How often a subscriber opened something, by hour of their own day: 24 bytes, old opens fade."""

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.CASCADE, primary_key=True, related_name="open_hours"
    )
    counts = models.BinaryField(max_length=24)

    def __str__(self) -> str:
        return str(list(self.counts))


class ApplicationHours(models.Model):
    """How often an application's subscribers opened something, by hour: for those of whom little is known."""

    application = models.OneToOneField(
        Application, on_delete=models.CASCADE, primary_key=True, related_name="open_hours"
    )
    counts = models.JSONField(default=list)

    def __str__(self) -> str:
        return str(self.counts)
