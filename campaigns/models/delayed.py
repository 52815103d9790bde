"""What waits for its instant after an event, and when a rule last let somebody in."""

from django.db import models

from campaigns.models.event import Event, Rule
from devices.models import Subscriber
from devices.models.application import LANE_CHOICES


class Delayed(models.Model):
    """A person whom a rule tells of an event at an instant: it waits here, whatever is restarted meanwhile."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        TOLD = "told", "Handed on"
        CANCELLED = "cancelled", "Cancelled"

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="delayed", db_index=False)
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="delayed")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="delayed")
    lane = models.CharField(max_length=8, choices=LANE_CHOICES)
    accepted_at = models.FloatField(help_text="Of the event (epoch seconds).")
    due_at = models.FloatField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    reason = models.CharField(max_length=40, blank=True)
    ended_at = models.FloatField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state="waiting"), name="delayed_due"),
            models.Index(
                fields=["rule", "subscriber"], condition=models.Q(state="waiting"), name="delayed_waiting"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event}: {self.state}"


class Entrance(models.Model):
    """When a rule that lets each person in once in so many days last let somebody in."""

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="entrances", db_index=False)
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="+")
    entered_at = models.FloatField(help_text="When the event was accepted (epoch seconds).")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "subscriber"], name="one_entrance_per_person_and_rule")
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.subscriber_id}"
