"""The people of an application, their devices and what they want to hear of."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from devices.fields import TokenDigestField, VersionOrderField
from devices.models.application import Application, validate_quiet_hours, validate_time_zone


class Platform(models.TextChoices):
    """What kind of installation a device is."""

    ANDROID = "android", _("Android")
    IOS = "ios", "iOS"
    WEB = "web", _("Web")
    TV = "tv", "TV"
    STICK = "stick", _("Streaming stick")


class Provider(models.TextChoices):
    """The way to a device."""

    FCM = "fcm", "FCM"
    APNS = "apns", "APNs"
    WEBPUSH = "webpush", _("Web Push")
    SOCKET = "socket", _("WebSocket")


class Subscriber(models.Model):
    """A person, known by the service's own id."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="subscribers"
    )
    uid = models.UUIDField(_("uid"), default=uuid.uuid4, unique=True, editable=False)
    external_id = models.CharField(_("external id"), max_length=255)
    locale = models.CharField(
        _("locale"), max_length=35, blank=True, help_text=_("BCP 47, as pt-BR; empty: the application's.")
    )
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    quiet_hours = models.CharField(
        _("quiet hours"),
        max_length=11,
        blank=True,
        validators=[validate_quiet_hours],
        help_text=_(
            "When this person is not told anything, as 22:00-08:00, or off; empty: the application's."
        ),
    )
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)
    consent = models.BooleanField(
        _("consent"), default=True, help_text=_("Whether this person wants notifications at all.")
    )
    best_hour = models.SmallIntegerField(
        default=-1,
        editable=False,
        help_text="Of their own day, at which they open most (`devices.best_hours`); -1: not known yet.",
    )
    consent_at = models.DateTimeField(_("consent at"), null=True, blank=True, editable=False)
    revoked_before = models.DateTimeField(
        _("revoked before"),
        null=True,
        blank=True,
        help_text=_("Subscriber tokens issued before this instant are refused."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("subscriber")
        verbose_name_plural = _("subscribers")
        constraints = [
            models.UniqueConstraint(
                fields=["application", "external_id"], name="one_subscriber_per_external_id"
            )
        ]
        indexes = [
            models.Index(fields=["application", "id"], name="subscribers_in_order"),
            # for the beginning of an id, which PostgreSQL finds by no other
            models.Index(fields=["external_id"], name="subscribers_by_id", opclasses=["varchar_pattern_ops"]),
        ]

    def __str__(self) -> str:
        return self.external_id


class Device(models.Model):
    """One installation: platform, way to reach it, locale and time zone."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        RETIRED = "retired", _("Retired")

    class Retired(models.TextChoices):
        """Why it was retired, or a browser lost its subscription."""

        DEAD_TOKEN = (
            "dead_token",
            _("Its provider takes the token no more: the app was removed, or its permission taken back."),
        )
        DEAD_SUBSCRIPTION = (
            "dead_subscription",
            _("The browser's push subscription has ended; its open page still hears by WebSocket."),
        )
        REPLACED = "replaced", _("Another device was registered with the same token.")
        REMOVED = "removed", _("The app or your service removed it.")
        BY_STAFF = "by_staff", _("Somebody of the staff retired it.")

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="devices"
    )
    subscriber = models.ForeignKey(
        Subscriber, verbose_name=_("subscriber"), on_delete=models.CASCADE, related_name="devices"
    )
    uid = models.UUIDField(_("uid"), default=uuid.uuid4, unique=True)
    platform = models.CharField(_("platform"), max_length=8, choices=Platform.choices)
    provider = models.CharField(_("provider"), max_length=8, choices=Provider.choices)
    token = models.TextField(
        blank=True, help_text="The device's address at its provider; empty for WebSocket."
    )
    token_digest = TokenDigestField(max_length=64, blank=True, editable=False)
    sandbox = models.BooleanField(
        _("sandbox"), default=False, help_text=_("APNs: the token belongs to the development environment.")
    )
    purpose = models.CharField(
        _("purpose"),
        max_length=100,
        blank=True,
        help_text=_(
            "APNs: the one kind of push that the token is for, as voip or liveactivity:order-7;"
            " empty: alerts and background."
        ),
    )
    locale = models.CharField(_("locale"), max_length=35, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    app_version = models.CharField(_("app version"), max_length=32, blank=True)
    version_order = VersionOrderField(max_length=27, blank=True, editable=False)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.ACTIVE)
    retired_at = models.DateTimeField(
        _("retired at"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("When it was retired, or a browser lost its subscription."),
    )
    retired_reason = models.CharField(
        _("retired reason"), max_length=64, choices=Retired.choices, blank=True, editable=False
    )
    registered_at = models.DateTimeField(
        _("registered at"), default=timezone.now, help_text=_("When the token was last registered.")
    )
    seen_at = models.DateTimeField(
        _("seen at"), default=timezone.now, help_text=_("Its last sign of life, to a day.")
    )
    acknowledged = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Durable cursor (position)."
    )

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        constraints = [
            models.UniqueConstraint(
                fields=["application", "provider", "token_digest"],
                condition=models.Q(state="active") & ~models.Q(token_digest=""),
                name="one_active_device_per_token",
            )
        ]
        indexes = [
            models.Index(fields=["subscriber", "state"], name="devices_of_subscriber"),
            models.Index(fields=["application", "state", "seen_at"], name="devices_by_last_sign"),
        ]

    def __str__(self) -> str:
        return f"{self.get_platform_display()} {str(self.uid)[:8]}"


class Category(models.Model):
    """What a notification is about, as far as people may choose."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="categories"
    )
    key = models.SlugField(_("key"), max_length=50)
    name = models.CharField(_("name"), max_length=100)
    opt_in = models.BooleanField(
        _("opt in"), default=False, help_text=_("Reaches only those who asked for it.")
    )
    transactional = models.BooleanField(
        _("transactional"),
        default=False,
        help_text=_("What people wait for, as receipts and codes: no frequency cap counts or stops it."),
    )
    critical_overrides = models.BooleanField(
        _("critical overrides"),
        default=False,
        help_text=_(
            "Critical campaigns may reach those who switched it off, and in quiet hours, if an approver says so."
        ),
    )

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        constraints = [models.UniqueConstraint(fields=["application", "key"], name="one_category_per_key")]

    def __str__(self) -> str:
        return self.name


class Preference(models.Model):
    """What a person chose for one category."""

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="preferences")
    category = models.ForeignKey(
        Category, verbose_name=_("category"), on_delete=models.CASCADE, related_name="preferences"
    )
    allowed = models.BooleanField(_("allowed"))
    changed_at = models.DateTimeField(_("changed at"), default=timezone.now)

    class Meta:
        verbose_name = _("preference")
        verbose_name_plural = _("preferences")
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "category"], name="one_preference_per_category")
        ]

    def __str__(self) -> str:
        return f"{self.category}: {gettext('yes') if self.allowed else gettext('no')}"
