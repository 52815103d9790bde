"""Campaigns: what to say, to whom, when, under which policy; and their versions."""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.models.limits import LONGEST_DELAY, LONGEST_ONCE_DAYS, validate_condition
from delivery.models.run import LANE_CHOICES
from devices.models import Application, Category, Device, Segment
from devices.models.application import validate_time_zone


class Campaign(models.Model):
    """What to say, to whom, when, under which policy; an edit makes a new version."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        IN_REVIEW = "in_review", "In review"
        APPROVED = "approved", "Approved"
        LIVE = "live", "Live"
        ENDED = "ended", "Ended"
        ARCHIVED = "archived", "Archived"

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="campaigns")
    name = models.CharField(max_length=150)
    state = models.CharField(max_length=9, choices=State.choices, default=State.DRAFT, editable=False)
    lane = models.CharField(max_length=8, choices=LANE_CHOICES, default="bulk")
    category = models.ForeignKey(
        Category, null=True, blank=True, on_delete=models.PROTECT, related_name="campaigns"
    )
    segment = models.ForeignKey(
        Segment,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
        help_text="Who it is for; empty: everybody.",
    )
    title = models.CharField(
        max_length=200, blank=True, help_text="Liquid: {{ first_name }}, {{ event.order }}."
    )
    body = models.TextField(max_length=2000, blank=True)
    subtitle = models.CharField(max_length=200, blank=True, help_text="A second line, on Apple's devices.")
    link = models.CharField(max_length=500, blank=True, help_text="https:// or the app's own scheme.")
    image = models.CharField(max_length=500, blank=True, help_text="https:// address of a picture.")
    sound = models.CharField(
        max_length=100,
        blank=True,
        help_text="A sound of the app's, or default; empty: silent on Apple's devices.",
    )
    badge = models.CharField(
        max_length=5,
        blank=True,
        help_text="The number on the app's icon; auto: how much the person has not read. Empty leaves it as it is.",
    )
    data = models.JSONField(
        default=dict, blank=True, help_text='Keys and texts for the app, as {"screen": "offers"}.'
    )
    android = models.JSONField(
        default=dict, blank=True, help_text='Android alone, as {"channel_id": "news", "priority": "HIGH"}.'
    )
    ios = models.JSONField(
        "iOS",
        default=dict,
        blank=True,
        help_text='Apple\'s devices alone, as {"interruption_level": "passive", "thread_id": "news"}.',
    )
    web = models.JSONField(
        default=dict,
        blank=True,
        help_text='Browsers alone, as {"icon": "https://…", "require_interaction": true}.',
    )
    locales = models.JSONField(
        default=dict, blank=True, help_text='Other languages, as {"de": {"title": "…", "body": "…"}}.'
    )
    overrides = models.JSONField(
        default=dict,
        blank=True,
        help_text='Per platform, as {"tv": {"title": "…"}, "ios": {"sound": "ping.caf"}}.',
    )
    send_at = models.DateTimeField(
        null=True, blank=True, help_text="When a launch starts it; empty: at once."
    )
    repeat = models.CharField(
        max_length=100,
        blank=True,
        help_text="A crontab, as 0 9 * * mon-fri: told again at each of these times; empty: once.",
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
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
        help_text="Told to whomever an event of this type is about; empty: told by its times.",
    )
    event_condition = models.TextField(
        blank=True,
        validators=[validate_condition],
        help_text="CEL over `event`, as event.data.total > 100; empty: always.",
    )
    event_delay = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(LONGEST_DELAY)],
        help_text="Seconds after the event; 0: at once.",
    )
    event_unless = models.ForeignKey(
        "campaigns.EventType",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who has an event of this type before the delay is over is not told.",
    )
    event_once_days = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(LONGEST_ONCE_DAYS)],
        help_text="Each person at most once in so many days; 0: at every event.",
    )
    ttl = models.PositiveIntegerField(
        "time to live", default=86_400, help_text="Seconds after which it is no longer worth telling."
    )
    transactional = models.BooleanField(
        default=False,
        help_text="What people wait for, as receipts and codes: no frequency cap counts or stops it.",
    )
    critical_override = models.BooleanField(
        default=False,
        help_text="In the lane critical: reaches those who switched the category off too, and in quiet hours."
        " The category must allow it, and only approvers, or keys that may override, launch it.",
    )
    when_capped = models.CharField(
        max_length=5,
        choices=[("drop", "Leave them out"), ("defer", "Tell them when the cap has room")],
        default="drop",
        help_text="What becomes of people who have had as many as a frequency cap allows.",
    )
    local_time = models.TimeField(
        null=True, blank=True, help_text="Told at this time of each person's own clock; empty: at once."
    )
    local_date = models.DateField(
        null=True, blank=True, help_text="On this day of each person's own; empty: on the day of the launch."
    )
    local_late = models.CharField(
        "where that is past",
        max_length=8,
        choices=[("now", "At once"), ("tomorrow", "At that time of the next day")],
        default="now",
        help_text="What becomes of people whose local time was past at the launch.",
    )
    best_hour = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(23)],
        help_text="Told at the hour at which each person opens most; this hour (0 to 23) for those of whom"
        " nothing is known. Empty: not so.",
    )
    best_from = models.PositiveSmallIntegerField(
        default=8,
        validators=[MaxValueValidator(23)],
        help_text="Not before this hour of each person's own clock.",
    )
    best_until = models.PositiveSmallIntegerField(
        default=22, validators=[MaxValueValidator(24)], help_text="Not from this hour on."
    )
    rate = models.PositiveIntegerField(
        default=0, help_text="At most so many people a second or minute; 0: as fast as it goes."
    )
    rate_per = models.CharField(
        max_length=6, choices=[("second", "a second"), ("minute", "a minute")], default="second"
    )
    ramp = models.PositiveIntegerField(
        default=0, help_text="Seconds over which the rate rises to its whole; 0: from the start."
    )
    window_end = models.TimeField(
        null=True,
        blank=True,
        help_text="With a rate: nobody is told after this time of the application's clock;"
        " it goes on the next day at the launch's time of day.",
    )
    jitter = models.PositiveIntegerField(
        default=0, help_text="Seconds over which those told at one time are spread; 0: all at once."
    )
    silence_across_devices = models.BooleanField(
        "spare other devices",
        default=False,
        help_text="Phones wait while another device of the person is connected, and get no push once it showed this.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
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
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="one_campaign_per_name")]
        permissions = [("approve", "May approve and launch campaigns")]

    def __str__(self) -> str:
        return self.name


class CampaignVersion(models.Model):
    """What a campaign said at one time; runs keep theirs."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    snapshot = models.JSONField()
    digest = models.CharField(max_length=64)
    launch_at = models.DateTimeField(null=True, help_text="When the clock is to start it.")
    launched_at = models.DateTimeField(null=True)
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
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
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

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="test_devices")
    name = models.CharField(max_length=100, help_text=_("As “Eva's phone” or “TV in the kitchen”."))
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="tests")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["application", "name"], name="one_test_device_per_name")
        ]

    def __str__(self) -> str:
        return self.name
