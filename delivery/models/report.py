"""What devices and people did after a run, counted: the tallies that reports read, and what waits to be counted."""

from django.db import models

from delivery.models.run import Run
from devices.models import Application


class Heard(models.Model):
    """Receipts, or events that are somebody's goal, that stand in the log and are still to be counted."""

    class Kind(models.TextChoices):
        RECEIPTS = "receipts", "Receipts"
        EVENTS = "events", "Events"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    body = models.BinaryField(help_text="What was heard (`delivery.heard`).")
    created_at = models.FloatField(db_index=True)


class Tally(models.Model):
    """How many people and devices of a run did one thing, by one dimension.

    The rows of a dimension add up to the whole; a person counts under the first device that said so.
    """

    class Dimension(models.TextChoices):
        PLATFORM = "platform", "Platform"
        LOCALE = "locale", "Language"
        HOUR = "hour", "Hour"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tallies")
    kind = models.CharField(max_length=16)
    variant = models.CharField(max_length=16, blank=True)
    dimension = models.CharField(max_length=8, choices=Dimension.choices)
    value = models.CharField(max_length=35, blank=True, help_text="The hour in epoch hours.")
    people = models.PositiveIntegerField(default=0)
    devices = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [
            models.UniqueConstraint(
                fields=["run", "kind", "variant", "dimension", "value"], name="one_tally_per_value"
            )
        ]


class Recount(models.Model):
    """That a run's tallies were made anew from the log: what is older is in them, and not counted again."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="recount")
    as_of = models.FloatField(help_text="Receipts before this instant are in the tallies (epoch seconds).")
    lease_until = models.FloatField(default=0, help_text="Somebody is counting until then.")


class Goal(models.Model):
    """The event that a run is meant to bring about, within a time after somebody was told."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="goal")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="+")
    event_type = models.CharField(max_length=150)
    seconds = models.PositiveIntegerField()
    until = models.FloatField(help_text="Nothing converts after this instant (epoch seconds).")

    class Meta:
        indexes = [models.Index(fields=["application", "event_type", "until"], name="goals_to_meet")]
