"""Campaigns: what to say, to whom, when, under which policy; and their versions."""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.models.limits import LONGEST_DELAY, LONGEST_ONCE_DAYS, validate_condition
from devices.models import Application, Category, Device, Segment
from devices.models.application import LANE_CHOICES, validate_time_zone


class Campaign(models.Model):
    """What to say, to whom, when, under which policy; an edit makes a new version."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In review")
        APPROVED = "approved", _("Approved")
        LIVE = "live", _("Live")
        ENDED = "ended", _("Ended")
        ARCHIVED = "archived", _("Archived")

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="campaigns"
    )
    name = models.CharField(_("name"), max_length=150)
    state = models.CharField(
        _("state"), max_length=9, choices=State.choices, default=State.DRAFT, editable=False
    )
    lane = models.CharField(_("lane"), max_length=8, choices=LANE_CHOICES, default="bulk")
    category = models.ForeignKey(
        Category,
        verbose_name=_("category"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
    )
    segment = models.ForeignKey(
        Segment,
        verbose_name=_("segment"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
        help_text=_("Who it is for; empty: everybody."),
    )
    title = models.CharField(
        _("title"), max_length=200, blank=True, help_text=_("Liquid: {{ first_name }}, {{ event.order }}.")
    )
    body = models.TextField(_("body"), max_length=2000, blank=True)
    subtitle = models.CharField(
        _("subtitle"), max_length=200, blank=True, help_text=_("A second line, on Apple's devices.")
    )
    link = models.CharField(
        _("link"), max_length=500, blank=True, help_text=_("https:// or the app's own scheme.")
    )
    image = models.CharField(
        _("image"), max_length=500, blank=True, help_text=_("https:// address of a picture.")
    )
    sound = models.CharField(
        _("sound"),
        max_length=100,
        blank=True,
        help_text=_("A sound of the app's, or default; empty: silent on Apple's devices."),
    )
    badge = models.CharField(
        _("badge"),
        max_length=5,
        blank=True,
        help_text=_(
            "The number on the app's icon; auto: how much the person has not read. Empty leaves it as it is."
        ),
    )
    data = models.JSONField(
        _("data"),
        default=dict,
        blank=True,
        help_text=_('Keys and texts for the app, as {"screen": "offers"}.'),
    )
    android = models.JSONField(
        _("android"),
        default=dict,
        blank=True,
        help_text=_('Android alone, as {"channel_id": "news", "priority": "HIGH"}.'),
    )
    ios = models.JSONField(
        _("iOS"),
        default=dict,
        blank=True,
        help_text=_('Apple\'s devices alone, as {"interruption_level": "passive", "thread_id": "news"}.'),
    )
    web = models.JSONField(
        _("web"),
        default=dict,
        blank=True,
        help_text=_('Browsers alone, as {"icon": "https://…", "require_interaction": true}.'),
    )
    locales = models.JSONField(
        _("locales"),
        default=dict,
        blank=True,
        help_text=_('Other languages, as {"de": {"title": "…", "body": "…"}}.'),
    )
    overrides = models.JSONField(
        _("overrides"),
        default=dict,
        blank=True,
        help_text=_('Per platform, as {"tv": {"title": "…"}, "ios": {"sound": "ping.caf"}}.'),
    )
    send_at = models.DateTimeField(
        _("send at"), null=True, blank=True, help_text=_("When a launch starts it; empty: at once.")
    )
    repeat = models.CharField(
        _("repeat"),
        max_length=100,
        blank=True,
        help_text=_("A crontab, as 0 9 * * mon-fri: told again at each of these times; empty: once."),
    )
    repeat_zone = models.CharField(
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text="IANA time zone of the crontab; empty: the application's.",
    )
    repeat_until = models.DateTimeField(
        null=True, blank=True, help_text="It is not told again after this; empty: until somebody ends it."
    )
    event_type = models.ForeignKey(
        "campaigns.EventType",
        verbose_name=_("event type"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
        help_text=_("Told to whomever an event of this type is about; empty: told by its times."),
    )
    event_condition = models.TextField(
        _("event condition"),
        blank=True,
        validators=[validate_condition],
        help_text=_("CEL over `event`, as event.data.total > 100; empty: always."),
    )
    event_delay = models.PositiveIntegerField(
        _("event delay"),
        default=0,
        validators=[MaxValueValidator(LONGEST_DELAY)],
        help_text=_("Seconds after the event; 0: at once."),
    )
    event_unless = models.ForeignKey(
        "campaigns.EventType",
        verbose_name=_("event unless"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text=_("Who has an event of this type before the delay is over is not told."),
    )
    event_once_days = models.PositiveSmallIntegerField(
        _("event once days"),
        default=0,
        validators=[MaxValueValidator(LONGEST_ONCE_DAYS)],
        help_text=_("Each person at most once in so many days; 0: at every event."),
    )
    ttl = models.PositiveIntegerField(
        _("time to live"), default=86_400, help_text=_("Seconds after which it is no longer worth telling.")
    )
    transactional = models.BooleanField(
        _("transactional"),
        default=False,
        help_text=_("What people wait for, as receipts and codes: no frequency cap counts or stops it."),
    )
    critical_override = models.BooleanField(
        _("critical override"),
        default=False,
        help_text=_(
            "In the lane critical: reaches those who switched the category off too, and in quiet hours."
            " The category must allow it, and only approvers, or keys that may override, launch it."
        ),
    )
    when_capped = models.CharField(
        _("when capped"),
        max_length=5,
        choices=[("drop", _("Leave them out")), ("defer", _("Tell them when the cap has room"))],
        default="drop",
        help_text=_("What becomes of people who have had as many as a frequency cap allows."),
    )
    local_time = models.TimeField(
        _("local time"),
        null=True,
        blank=True,
        help_text=_("Told at this time of each person's own clock; empty: at once."),
    )
    local_date = models.DateField(
        _("local date"),
        null=True,
        blank=True,
        help_text=_("On this day of each person's own; empty: on the day of the launch."),
    )
    local_late = models.CharField(
        _("where that is past"),
        max_length=8,
        choices=[("now", _("At once")), ("tomorrow", _("At that time of the next day"))],
        default="now",
        help_text=_("What becomes of people whose local time was past at the launch."),
    )
    best_hour = models.PositiveSmallIntegerField(
        _("best hour"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(23)],
        help_text=_(
            "Told at the hour at which each person opens most; this hour (0 to 23) for those of whom"
            " nothing is known. Empty: not so."
        ),
    )
    best_from = models.PositiveSmallIntegerField(
        _("best from"),
        default=8,
        validators=[MaxValueValidator(23)],
        help_text=_("Not before this hour of each person's own clock."),
    )
    best_until = models.PositiveSmallIntegerField(
        _("best until"), default=22, validators=[MaxValueValidator(24)], help_text=_("Not from this hour on.")
    )
    rate = models.PositiveIntegerField(
        _("rate"), default=0, help_text=_("At most so many people a second or minute; 0: as fast as it goes.")
    )
    rate_per = models.CharField(
        _("rate per"),
        max_length=6,
        choices=[("second", _("a second")), ("minute", _("a minute"))],
        default="second",
    )
    ramp = models.PositiveIntegerField(
        _("ramp"),
        default=0,
        help_text=_("Seconds over which the rate rises to its whole; 0: from the start."),
    )
    window_start = models.TimeField(
        _("window start"),
        null=True,
        blank=True,
        help_text=_(
            "Nobody is told before this time of day, by the application's clock, on any day; empty: with an end,"
            " the launch's time of day."
        ),
    )
    window_end = models.TimeField(
        _("window end"),
        null=True,
        blank=True,
        help_text=_(
            "Nobody is told from this time of day on; who has not been told by then is told in the next day's"
            " window. Empty: at any time."
        ),
    )
    jitter = models.PositiveIntegerField(
        _("jitter"),
        default=0,
        help_text=_("Seconds over which those told at one time are spread; 0: all at once."),
    )
    silence_across_devices = models.BooleanField(
        _("spare other devices"),
        default=False,
        help_text=_(
            "Phones wait while another device of the person is connected, and get no push once it showed this."
        ),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    revision = models.PositiveIntegerField(
        default=0, editable=False, help_text="Counts the edits: of two at once the second is told."
    )
    edited_by = models.CharField(max_length=150, blank=True, editable=False)
    settled = models.BooleanField(
        default=False, editable=False, help_text="What it says is approved or launched as it stands."
    )
    authors = models.JSONField(
        default=list,
        editable=False,
        help_text="Who wrote what it says since it was last approved: nobody approves their own.",
    )

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="one_campaign_per_name")]
        permissions = [("approve", "May approve and launch campaigns")]

    def __str__(self) -> str:
        return self.name


class CampaignVersion(models.Model):
    """What a campaign said at one time; runs keep theirs."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("number"))
    snapshot = models.JSONField()
    digest = models.CharField(max_length=64)
    launch_at = models.DateTimeField(_("launch at"), null=True, help_text=_("When the clock is to start it."))
    launched_at = models.DateTimeField(_("launched at"), null=True)
    approved_audience = models.PositiveIntegerField(
        null=True, help_text="People whom its approvals were given for; null: it needed none."
    )
    canary = models.PositiveSmallIntegerField(
        default=0, help_text="Per cent of the audience that are told first; 0: all at once."
    )
    canary_state = models.CharField(
        max_length=8,
        blank=True,
        choices=[
            ("waiting", _("Waits for somebody to look")),
            ("went_on", _("Went on")),
            ("stopped", _("Stopped")),
        ],
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("campaign version")
        verbose_name_plural = _("campaign versions")
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["campaign", "number"], name="one_version_per_number")]
        indexes = [
            models.Index(
                fields=["launch_at"],
                condition=models.Q(launched_at__isnull=True, launch_at__isnull=False),
                name="versions_to_launch",
            )
        ]

    def __str__(self) -> str:
        return f"{self.campaign} v{self.number}"


class Approval(models.Model):
    """That somebody approved what a campaign says, for the numbers they saw; signed (`campaigns.approval`)."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="approvals")
    digest = models.CharField(max_length=64, help_text="Of the content, policy, audience and time approved.")
    numbers = models.JSONField(help_text="What the dry run came to.")
    author = models.CharField(max_length=150, help_text="user:NAME or key:PREFIX.")
    signature = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.campaign} by {self.author}"


class TestDevice(models.Model):
    """A device that is sent tests of campaigns, known by a name."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="test_devices"
    )
    name = models.CharField(
        _("name"), max_length=100, help_text=_("As “Eva's phone” or “TV in the kitchen”.")
    )
    device = models.ForeignKey(
        Device, verbose_name=_("device"), on_delete=models.CASCADE, related_name="tests"
    )

    class Meta:
        verbose_name = _("test device")
        verbose_name_plural = _("test devices")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["application", "name"], name="one_test_device_per_name")
        ]

    def __str__(self) -> str:
        return self.name
