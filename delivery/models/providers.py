"""An application's credentials at the providers, and the gate before each."""

import uuid

from django.db import models
from django.utils import timezone

from devices.models import Application, Provider
from devices.secrets import EncryptedJSONField

OUTSIDE = [(Provider.FCM, "FCM"), (Provider.APNS, "APNs")]


class Credential(models.Model):
    """What an application shows a provider; the secret is write-only."""

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="credentials")
    provider = models.CharField(max_length=8, choices=OUTSIDE)
    secret = EncryptedJSONField(
        help_text='FCM: {"service_account": {…}}. APNs: {"private_key": "-----BEGIN…", "key_id": "…", "team_id": "…"}.'
    )
    settings = models.JSONField(
        default=dict,
        blank=True,
        help_text='APNs: {"topic": "com.example.app"}. Both: {"per_minute": 600000}, 0 for no quota.',
    )
    fingerprint = models.CharField(max_length=64, editable=False, blank=True)
    stands_in = models.BooleanField(
        "send to the fleet",
        default=False,
        help_text="Deliver to the fleet that stands in for the real provider.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["application", "provider"], name="one_credential_per_provider")
        ]

    def __str__(self) -> str:
        return f"{self.get_provider_display()} of {self.application}"


class Gate(models.Model):
    """A provider's door for one application: open, slowed until an instant, shut with a reason."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SLOWED = "slowed", "Slowed"
        SHUT = "shut", "Shut"

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="gates")
    provider = models.CharField(max_length=8, choices=OUTSIDE)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    until = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["application", "provider"], name="one_gate_per_provider")
        ]

    def __str__(self) -> str:
        return f"{self.get_provider_display()}: {self.state}"

    @classmethod
    def holding(cls) -> models.Q:
        """Return the condition of the gates that keep parcels back now."""
        slowed = models.Q(state=cls.State.SLOWED) & ~models.Q(until__lte=timezone.now())
        return models.Q(state=cls.State.SHUT) | slowed

    @property
    def holds(self) -> bool:
        """Whether it keeps parcels back now: a slowed gate opens by itself at its time."""
        if self.state == self.State.SLOWED:
            return self.until is None or self.until > timezone.now()
        return self.state == self.State.SHUT
