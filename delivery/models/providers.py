"""An application's credentials at the providers, and the gate before each."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from delivery import remarks
from devices.models import Application, Provider
from devices.secrets import EncryptedJSONField

OUTSIDE = [(Provider.FCM, "FCM"), (Provider.APNS, "APNs"), (Provider.WEBPUSH, _("Web Push"))]


class Credential(models.Model):
    """What an application shows a provider; the secret is write-only.

    An application may have two at a provider, so that one can be replaced while the other is in use
    (`delivery.credentials` says which is).
    """

    class Slot(models.IntegerChoices):
        FIRST = 1, _("First")
        SECOND = 2, _("Second")

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="credentials"
    )
    provider = models.CharField(_("provider"), max_length=8, choices=OUTSIDE)
    slot = models.PositiveSmallIntegerField(choices=Slot.choices, default=Slot.FIRST, editable=False)
    secret = EncryptedJSONField(
        _("secret"),
        help_text=_(
            'FCM: {"service_account": {…}}. APNs: {"private_key": "-----BEGIN…", "key_id": "…", "team_id": "…"},'
            ' or {"certificate": "-----BEGIN…", "private_key": "-----BEGIN…"}. Web Push:'
            ' {"private_key": "-----BEGIN…"}.'
        ),
    )
    settings = models.JSONField(
        _("settings"),
        default=dict,
        blank=True,
        help_text=_(
            'APNs: {"topic": "com.example.app"}. Web Push: {"subject": "mailto:push@example.com"}.'
            ' All: {"per_minute": 600000}, 0 for no quota.'
        ),
    )
    fingerprint = models.CharField(_("fingerprint"), max_length=64, editable=False, blank=True)
    stands_in = models.BooleanField(
        _("send to the fleet"),
        default=False,
        help_text=_("Deliver to the fleet that stands in for the real provider."),
    )
    expires_at = models.DateTimeField(
        _("expires at"),
        null=True,
        blank=True,
        help_text=_("When the provider stops taking it; empty: never, or not known."),
    )
    stored_at = models.DateTimeField(
        _("stored at"), default=timezone.now, editable=False, help_text=_("When the secret was last written.")
    )
    refused_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the provider refused it; empty: it did not."
    )
    refused_reason = models.CharField(max_length=100, blank=True, editable=False)
    checked_at = models.DateTimeField(
        _("checked at"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("When the provider was last asked about it."),
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("credential")
        verbose_name_plural = _("credentials")
        constraints = [
            models.UniqueConstraint(
                fields=["application", "provider", "slot"], name="two_credentials_per_provider"
            )
        ]

    def __str__(self) -> str:
        return gettext("%(provider)s of %(application)s") % {
            "provider": self.get_provider_display(),
            "application": self.application,
        }


class Gate(models.Model):
    """A provider's door for one application: open, slowed until an instant, shut with a reason."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        SLOWED = "slowed", _("Slowed")
        SHUT = "shut", _("Shut")

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="gates"
    )
    provider = models.CharField(_("provider"), max_length=8, choices=OUTSIDE)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.OPEN)
    until = models.DateTimeField(_("until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    changed_at = models.DateTimeField(_("changed at"), default=timezone.now)

    class Meta:
        verbose_name = _("gate")
        verbose_name_plural = _("gates")
        constraints = [
            models.UniqueConstraint(fields=["application", "provider"], name="one_gate_per_provider")
        ]

    def __str__(self) -> str:
        return f"{self.get_provider_display()}: {self.get_state_display()}"

    @property
    def because(self) -> str:
        """The reason in the language that is active."""
        return remarks.said(self.reason)

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
