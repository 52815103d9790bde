"""Alerts to the staff: who is told of what, the incidents, and the notes that tell of them."""

import base64
import secrets
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from delivery import remarks
from devices.models import Application, Provider
from devices.models.application import LANE_CHOICES
from devices.secrets import EncryptedJSONField
from devices.words import number, percent, within

KINDS = {
    "gate_shut": _("A provider's gate is shut"),
    "run_paused": _("A run was paused by a guard"),
    "lane_late": _("A lane is over its objective"),
    "approval_waiting": _("A campaign waits for approval"),
    "canary_waiting": _("A canary waits for a decision"),
}
"""What the staff can be told of."""

SENTENCES = {
    "gate_shut": gettext_noop("The gate of %(provider)s is shut: %(reason)s."),
    "run_paused": gettext_noop("“%(run)s” was paused: %(reason)s"),
    "lane_late": gettext_noop(
        "The lane %(lane)s is over its objective of %(objective)s s: the oldest message has been due for"
        " %(wait)s s."
    ),
    "lane_late_this_hour": gettext_noop(
        "The lane %(lane)s is over its objective of %(objective)s s: %(share)s of this hour's %(count)s were"
        " in time."
    ),
    "approval_waiting": gettext_noop("“%(campaign)s” waits for approval."),
    "canary_waiting": gettext_noop(
        "“%(campaign)s” has told its first %(share)s and waits: go on, or stop it."
    ),
}
"""What an incident's page says, by kind, or by `says` among its values where a kind has several."""


def every_kind() -> list[str]:
    """A new rule tells of everything."""
    return list(KINDS)


def sentence_of(kind: str, values: dict[str, Any]) -> str:
    """Return what an incident is, in the language that is active."""
    words = {name: _word(name, value) for name, value in values.items()}
    return gettext(SENTENCES[values.get("says", kind)]) % words


def _word(name: str, value: Any) -> str:
    if name == "provider":
        return str(Provider(value).label)
    if name == "lane":
        return within(dict(LANE_CHOICES)[value])
    if name == "reason":
        return remarks.said(value) or gettext("no reason was given")
    if name == "share":
        return percent(value, 0)
    if name == "run":
        return remarks.said(value, remarks.TITLES)
    if isinstance(value, str):
        return value
    return number(int(value)) if value == int(value) else f"{value:g}"


def new_secret() -> str:
    """Return a secret that a webhook's receiver checks signatures with."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


class AlertRule(models.Model):
    """Whom the staff of an application has told when something needs a person."""

    class Way(models.TextChoices):
        EMAIL = "email", _("E-mail")
        WEBHOOK = "webhook", _("Webhook")

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="alert_rules"
    )
    name = models.CharField(_("name"), max_length=100)
    kinds = models.JSONField(_("tells of"), default=every_kind)
    way = models.CharField(_("way"), max_length=7, choices=Way.choices, default=Way.EMAIL)
    emails = models.TextField(
        _("e-mail addresses"), blank=True, max_length=2_000, help_text=_("One a line; at most 20.")
    )
    url = models.CharField(
        _("webhook address"),
        blank=True,
        max_length=500,
        help_text=_("Begins with https:// and leads to a public address."),
    )
    language = models.CharField(
        _("language"),
        max_length=10,
        choices=settings.LANGUAGES,
        default=settings.LANGUAGE_CODE,
        help_text=_("In which the mails are written."),
    )
    secret = EncryptedJSONField(default=new_secret, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        constraints = [
            models.UniqueConstraint(fields=["application", "name"], name="one_alert_rule_per_name")
        ]

    def __str__(self) -> str:
        return self.name


class Incident(models.Model):
    """Something that needed a person, from when it was seen until it was over."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="incidents"
    )
    kind = models.CharField(_("kind"), max_length=20, choices=list(KINDS.items()))
    key = models.CharField(max_length=100, help_text="What it is about, among those of its kind.")
    sentence = models.CharField(
        _("what"), max_length=400, help_text="In English, as webhooks tell it; people read `said`."
    )
    values = models.JSONField(default=dict, help_text="What stands in the sentence, by name.")
    path = models.CharField(max_length=200, blank=True, help_text="Where in the admin to look.")
    opened_at = models.DateTimeField(_("since"), default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now, help_text="When it was last found to be so.")
    resolved_at = models.DateTimeField(_("over"), null=True, blank=True)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["application", "kind", "key"],
                condition=models.Q(resolved_at__isnull=True),
                name="one_open_incident_per_key",
            )
        ]
        indexes = [models.Index(fields=["application", "-opened_at"], name="incidents_newest_first")]

    def __str__(self) -> str:
        return self.said

    @property
    def said(self) -> str:
        """The sentence in the language that is active; as it was stored where its values are not known."""
        return sentence_of(self.kind, self.values) if self.values else self.sentence


class AlertNote(models.Model):
    """One note to one rule's receivers: that an incident began, is over, or a test."""

    class Says(models.TextChoices):
        OPENED = "opened", _("Something happened")
        RESOLVED = "resolved", _("It is over")
        TEST = "test", _("A test")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Given up")

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="notes")
    incident = models.ForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="notes")
    says = models.CharField(max_length=8, choices=Says.choices)
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    due_at = models.FloatField()
    tries = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True, help_text="In English; people read `because`.")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("alert note")
        verbose_name_plural = _("alert notes")
        constraints = [
            models.UniqueConstraint(fields=["rule", "incident", "says"], name="one_note_per_incident")
        ]
        indexes = [models.Index(fields=["due_at"], condition=models.Q(state="waiting"), name="notes_to_send")]

    def __str__(self) -> str:
        return f"{self.rule}: {self.get_says_display()}"

    @property
    def because(self) -> str:
        """The error in the language that is active; what others said of it as they said it."""
        return remarks.said(self.error, remarks.OF_POSTS)
