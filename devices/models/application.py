"""A product of the host's: the application, its staff and its keys."""

import uuid
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from devices import frequency_caps, quiet_hours
from devices.secrets import EncryptedJSONField
from devices.wall_time import zone_names
from devices.words import no_zone

LANES = ("critical", "high", "normal", "bulk")
LANE_CHOICES = [
    ("critical", _("Critical")),
    ("high", _("High")),
    ("normal", _("Normal")),
    ("bulk", _("Bulk")),
]


def validate_time_zone(name: str) -> None:
    """Refuse a name that is not in the IANA time zone database."""
    if name and name not in zone_names():
        raise ValidationError(no_zone(name))


def validate_quiet_hours(text: str) -> None:
    """Refuse what names no quiet hours."""
    try:
        quiet_hours.parse(text)
    except quiet_hours.QuietHoursError as error:
        raise ValidationError(str(error)) from None


def validate_caps(caps: Any) -> None:
    """Refuse a list that holds no frequency caps."""
    try:
        frequency_caps.parse(caps)
    except frequency_caps.CapError as error:
        raise ValidationError(str(error)) from None


class Application(models.Model):
    """A product with its own keys, people and provider credentials; every row belongs to one."""

    uid = models.UUIDField(_("uid"), default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100)
    slug = models.SlugField(_("slug"), max_length=50, unique=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone]
    )
    locale = models.CharField(_("locale"), max_length=35, default="en")
    origins = models.JSONField(
        _("origins"),
        default=list,
        blank=True,
        help_text=_('Web origins that may open a WebSocket, as ["https://app.example.com"]; empty: any.'),
    )
    link_schemes = models.CharField(
        _("link schemes"),
        max_length=200,
        blank=True,
        validators=[
            RegexValidator(
                r"^[a-z][a-z0-9+.-]*( [a-z][a-z0-9+.-]*)*$",
                _(
                    "Write schemes in small letters with spaces between them and without a colon, as: shop shop-beta"
                ),
            )
        ],
        help_text=_(
            "Of links that your apps open, besides https, as: shop shop-beta. Others are warned of before a launch. "
            "Empty: any."
        ),
    )
    quiet_hours = models.CharField(
        _("quiet hours"),
        max_length=11,
        blank=True,
        validators=[validate_quiet_hours],
        help_text=_(
            "When nobody is told anything, by their own clock, as 22:00-08:00; it waits. Empty: never."
        ),
    )
    caps = models.JSONField(
        _("frequency caps"),
        default=list,
        blank=True,
        validators=[validate_caps],
        help_text=_(
            'So many to a person, as [{"category": null, "count": 3, "hours": 24}]; null: of all together.'
        ),
    )
    approval_from = models.PositiveIntegerField(
        _("approval from"),
        null=True,
        blank=True,
        help_text=_(
            "Campaigns to so many people or more are launched only when somebody who did not write them has"
            " approved them, as 1000; 0: all campaigns. Empty: nobody has to, and whoever may launch does so alone:"
            " right while one person runs it, set it as soon as there are two."
        ),
    )
    second_approval_from = models.PositiveIntegerField(
        _("second approval from"),
        null=True,
        blank=True,
        help_text=_("From so many people on two have to approve, as 100000. Empty: one is enough."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("application")
        verbose_name_plural = _("applications")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Power(StrEnum):
    """What may be done in an application; `Role` says who may."""

    SEE = "see"
    """Look at everything but secrets."""
    WRITE = "write"
    """Campaigns, segments, rules, people, imports and exports, tests on named devices."""
    STOP = "stop"
    """Pause, resume, cancel and recall runs."""
    LAUNCH = "launch"
    """Approve and launch campaigns, choose winners, let rules go beyond their sender."""
    HALT = "halt"
    """Stop all that an application sends, and let it go on."""
    OPERATE = "operate"
    """Gates, dead letters, alerts of the staff."""
    AUDIT = "audit"
    """Read who did what."""
    MANAGE = "manage"
    """Keys, credentials, members, the application's settings."""


class Role(models.TextChoices):
    """What a member of the staff is in one application."""

    VIEWER = "viewer", _("Viewer: sees everything")
    MARKETER = "marketer", _("Marketer: writes campaigns and segments, pauses and recalls runs")
    APPROVER = "approver", _("Approver: a marketer who approves, launches and stops everything")
    OPERATOR = "operator", _("Operator: runs, stops, gates and dead letters, writes nothing")
    ADMINISTRATOR = "administrator", _("Administrator: everything, with keys, credentials and members")

    @property
    def powers(self) -> frozenset[Power]:
        return POWERS[self]


POWERS = {
    Role.VIEWER: frozenset({Power.SEE}),
    Role.MARKETER: frozenset({Power.SEE, Power.WRITE, Power.STOP}),
    Role.APPROVER: frozenset({Power.SEE, Power.WRITE, Power.STOP, Power.LAUNCH, Power.HALT}),
    Role.OPERATOR: frozenset({Power.SEE, Power.STOP, Power.HALT, Power.OPERATE, Power.AUDIT}),
    Role.ADMINISTRATOR: frozenset(Power),
}


class Membership(models.Model):
    """That a member of the staff works in an application, and as what."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="memberships"
    )
    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(fields=["user", "application"], name="one_membership_per_application")
        ]

    def __str__(self) -> str:
        return gettext("%(user)s in %(application)s") % {"user": self.user, "application": self.application}


class ApiKey(models.Model):
    """What a service authenticates with: kept as a digest, known by its prefix."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    lanes = models.JSONField(
        _("lanes"), default=list, help_text=_("Lanes this key may use; an event in another is refused.")
    )
    source_prefixes = models.JSONField(
        _("source prefixes"),
        default=list,
        blank=True,
        help_text=_('CloudEvents `source` prefixes, as ["/shop/"]; empty: any source.'),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)
    used_at = models.DateTimeField(_("used at"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SigningKey(models.Model):
    """A key that signs subscriber tokens: the hub's own (HS256) or a service's public one (EdDSA)."""

    class Algorithm(models.TextChoices):
        HS256 = "HS256", _("HS256 (shared secret)")
        EDDSA = "EdDSA", _("EdDSA (public key, Ed25519)")

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="signing_keys"
    )
    kid = models.CharField(_("key id"), max_length=64, unique=True)
    algorithm = models.CharField(
        _("algorithm"), max_length=8, choices=Algorithm.choices, default=Algorithm.HS256
    )
    jwk = EncryptedJSONField(_("jwk"), help_text=_("The key as a JWK (RFC 7517); write-only."))
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    retired_at = models.DateTimeField(_("retired at"), null=True, blank=True)

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.kid
