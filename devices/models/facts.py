"""Facts: what subscribers did, counted by day."""

from django.db import models
from django.utils import timezone

from devices.models.application import Application
from devices.models.people import Subscriber


class FactKind(models.Model):
    """What an application counts: `received`, `opened` or `event:` and an event type's name."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="fact_kinds")
    name = models.CharField(max_length=160)
    wanted = models.BooleanField(default=True)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="one_fact_kind_per_name")]

    def __str__(self) -> str:
        return self.name


class Fact(models.Model):
    """How often one subscriber did one thing on one day (UTC)."""

    pk = models.CompositePrimaryKey("subscriber_id", "kind_id", "day")
    # the primary key begins with the subscriber: another index would only cost
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="facts", db_index=False)
    kind = models.ForeignKey(FactKind, on_delete=models.CASCADE, related_name="facts", db_index=False)
    day = models.DateField()
    count = models.PositiveIntegerField(default=1)

    class Meta:
        indexes = [models.Index(fields=["day"], name="facts_by_day")]

    def __str__(self) -> str:
        return f"{self.count} on {self.day}"
