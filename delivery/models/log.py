"""The relational log: entries, outcomes, receipts and read marks, in the log's own database.

No foreign keys: the rows are keyed by the identifiers that the Cassandra tables use too.
"""

from django.db import models


class Entry(models.Model):
    """One notification in a subscriber's log."""

    subscriber = models.UUIDField()
    position = models.BinaryField(max_length=16)
    notification = models.UUIDField()
    run = models.UUIDField()
    body = models.BinaryField()
    expires_at = models.FloatField(db_index=True, help_text="When the log forgets it (epoch seconds).")

    class Meta:
        verbose_name_plural = "entries"
        constraints = [models.UniqueConstraint(fields=["subscriber", "position"], name="entries_in_order")]
        indexes = [models.Index(fields=["run", "notification"], name="entries_of_run")]


class Outcome(models.Model):
    """What sending one message came to."""

    subscriber = models.UUIDField()
    notification = models.UUIDField()
    device = models.UUIDField()
    run = models.UUIDField()
    outcome = models.CharField(max_length=16)
    reason = models.CharField(max_length=64)
    provider_id = models.CharField(max_length=255)
    version = models.BigIntegerField(help_text="Parcel attempt and fence; the highest stands.")
    at = models.FloatField()
    expires_at = models.FloatField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["notification", "device"], name="one_outcome_per_message")
        ]
        indexes = [
            models.Index(fields=["subscriber", "run"], name="outcomes_of_subscriber"),
            models.Index(fields=["run"], name="outcomes_of_run"),
        ]


class Receipt(models.Model):
    """What a device said later about a notification."""

    subscriber = models.UUIDField()
    notification = models.UUIDField()
    device = models.UUIDField()
    kind = models.CharField(max_length=16)
    at = models.FloatField()
    expires_at = models.FloatField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "notification", "device", "kind"], name="one_receipt_per_kind"
            )
        ]


class Mark(models.Model):
    """That a subscriber has read or archived a notification."""

    subscriber = models.UUIDField()
    notification = models.UUIDField()
    state = models.CharField(max_length=16)
    at = models.FloatField()
    expires_at = models.FloatField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "notification"], name="one_mark_per_notification")
        ]
