"""The work of delivery: runs, their shards, pages and parcels, and whom policy stopped."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from delivery import remarks
from devices.models import Application, Category, Provider
from devices.models.application import LANE_CHOICES


class Run(models.Model):
    """One execution of a campaign version, or the standing run of a rule's events."""

    class Kind(models.TextChoices):
        AUDIENCE = "audience", _("An audience")
        STANDING = "standing", _("A rule's events")
        DIRECT = "direct", _("Named subscribers")

    class State(models.TextChoices):
        PLANNED = "planned", _("Planned")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        DONE = "done", _("Done")
        CANCELLED = "cancelled", _("Cancelled")
        FAILED = "failed", _("Failed")

    class Brake(models.TextChoices):
        READY = "ready", _("Ready")
        TRIPPED = "tripped", _("Has paused the run")
        OFF = "off", _("Off: refused tokens retire their devices")

    uid = models.UUIDField(_("uid"), default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="runs"
    )
    origin = models.CharField(
        _("origin"), max_length=200, db_index=True, help_text=_("Who asked for it; opaque to delivery.")
    )
    title = models.CharField(_("title"), max_length=200, help_text=_("For people who look at runs."))
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    standing_key = models.CharField(max_length=200, null=True, unique=True, editable=False)
    lane = models.CharField(_("lane"), max_length=8, choices=LANE_CHOICES)
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.PLANNED)
    snapshot = models.JSONField(
        help_text="Frozen at launch: content, policy, audience (`delivery.snapshot`)."
    )
    category = models.ForeignKey(
        Category, verbose_name=_("category"), null=True, on_delete=models.PROTECT, related_name="+"
    )
    expires_at = models.DateTimeField(_("expires at"), null=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    recalled_at = models.DateTimeField(_("recalled at"), null=True)
    recall_told_at = models.DateTimeField(null=True, help_text="When every node was told of the recall.")
    served_at = models.FloatField(
        default=0, editable=False, help_text="When work of it was last taken (epoch)."
    )
    paced_until = models.FloatField(
        default=0, editable=False, help_text="Throttled: until when its slots are taken (epoch)."
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True, help_text=_("Why it failed or waits."))
    brake = models.CharField(
        max_length=7,
        choices=Brake.choices,
        default=Brake.READY,
        help_text="Pauses the run when many tokens are refused at once, as with wrong credentials.",
    )

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["application", "-created_at"], name="runs_newest_first"),
            models.Index(
                fields=["recalled_at"],
                name="recalls_untold",
                condition=models.Q(recalled_at__isnull=False, recall_told_at=None),
            ),
        ]

    def __str__(self) -> str:
        return remarks.said(self.title, remarks.TITLES)

    @property
    def because(self) -> str:
        """The reason in the language that is active."""
        return remarks.said(self.reason)


class Shard(models.Model):
    """A slice of a run's audience by subscriber id, with the cursor of what is planned."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="shards")
    number = models.PositiveIntegerField()
    cursor = models.BigIntegerField(help_text="Every subscriber up to this id has been planned.")
    last = models.BigIntegerField(help_text="The highest subscriber id of the shard.")
    exhausted = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="one_shard_per_number")]

    def __str__(self) -> str:
        return f"shard {self.number}"


class WorkState(models.TextChoices):
    """Where a page or parcel stands; `claimed` holds only as long as its lease."""

    WAITING = "waiting", _("Waiting")
    CLAIMED = "claimed", _("Claimed")
    DONE = "done", _("Done")
    DEAD = "dead", _("Stopped after too many attempts")
    CANCELLED = "cancelled", _("Cancelled")


class Work(models.Model):
    """What pages and parcels share: a place in a lane, a lease and a fence."""

    run = models.ForeignKey(Run, verbose_name=_("run"), on_delete=models.CASCADE, related_name="%(class)ss")
    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="+"
    )
    lane = models.CharField(_("lane"), max_length=8, choices=LANE_CHOICES)
    state = models.CharField(max_length=9, choices=WorkState.choices, default=WorkState.WAITING)
    due_at = models.FloatField(help_text="Not before (epoch seconds).")
    lease_until = models.FloatField(default=0)
    fence = models.PositiveIntegerField(
        _("fence"), default=0, help_text=_("Counts the claims; a commit needs the newest.")
    )
    tries = models.PositiveIntegerField(
        _("tries"), default=0, help_text=_("Claims since it was made or requeued.")
    )
    worker = models.CharField(_("worker"), max_length=64, blank=True)
    error = models.TextField(_("error"), blank=True, help_text=_("What went wrong the last time."))
    created_at = models.FloatField()
    closed_at = models.FloatField(null=True)

    class Meta:
        abstract = True


class Page(Work):
    """The people a planner takes at a time: the next of a shard, a rule's events, or a slice."""

    class Kind(models.TextChoices):
        SHARD = "shard", _("The next people of a shard")
        PEOPLE = "people", _("Named people")
        SLICE = "slice", _("People that policy put off")

    kind = models.CharField(_("kind"), max_length=6, choices=Kind.choices)
    shard = models.ForeignKey(Shard, null=True, on_delete=models.CASCADE, related_name="pages")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="slices")
    after = models.BigIntegerField(null=True, help_text="Shard pages: the cursor it starts behind.")
    people = models.BinaryField(null=True, help_text="Named people (`delivery.people`), dropped when closed.")
    paced = models.BooleanField(default=False, help_text="Throttled runs: it has its slot, `due_at`.")
    stamp = models.FloatField(null=True, help_text="The database's clock when it was last stamped.")
    audience = models.PositiveIntegerField(default=0)
    stopped = models.PositiveIntegerField(default=0)
    logged = models.PositiveIntegerField(default=0)
    messages = models.PositiveIntegerField(default=0, help_text="Devices, and subscribers without one.")
    no_device = models.PositiveIntegerField(default=0)
    deferred = models.PositiveIntegerField(default=0, help_text="People put off into slices.")
    reasons = models.JSONField(default=dict, help_text="Stopped by reason.")
    spread = models.JSONField(default=dict, help_text="Whom it told what (`delivery.spread`).")

    class Meta:
        verbose_name = _("page")
        verbose_name_plural = _("pages")
        indexes = [
            models.Index(
                fields=["lane", "due_at"],
                condition=models.Q(state__in=["waiting", "claimed"]),
                name="pages_open_by_lane",
            ),
            models.Index(fields=["run", "state"], name="pages_of_run"),
            models.Index(fields=["application"], condition=models.Q(state="dead"), name="pages_dead"),
        ]

    def __str__(self) -> str:
        return gettext("page %(id)s") % {"id": self.pk}


class Parcel(Work):
    """One page's messages for one provider: the unit a sender claims."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="parcels")
    provider = models.CharField(_("provider"), max_length=8, choices=Provider.choices)
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    expires_at = models.FloatField(
        null=True, help_text="When its messages are no longer worth sending (epoch)."
    )
    body = models.BinaryField(
        null=True, help_text="Messages (`delivery.senders.contract`), dropped when closed."
    )
    size = models.PositiveIntegerField(_("size"), help_text=_("Messages in it."))
    sent = models.PositiveIntegerField(default=0)
    stored = models.PositiveIntegerField(default=0)
    expired = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    retried = models.PositiveIntegerField(default=0, help_text="Handed on to a new parcel.")
    reasons = models.JSONField(default=dict, help_text="Failed, expired and cancelled by reason.")
    platforms = models.JSONField(default=dict, help_text="Outcomes by platform.")

    class Meta:
        verbose_name = _("parcel")
        verbose_name_plural = _("parcels")
        indexes = [
            models.Index(
                fields=["provider", "lane", "due_at"],
                condition=models.Q(state__in=["waiting", "claimed"]),
                name="parcels_open_by_lane",
            ),
            models.Index(fields=["run", "state"], name="parcels_of_run"),
            models.Index(
                fields=["application", "closed_at"],
                condition=models.Q(closed_at__isnull=False),
                name="parcels_by_close",
            ),
            models.Index(fields=["application"], condition=models.Q(state="dead"), name="parcels_dead"),
        ]

    def __str__(self) -> str:
        return gettext("parcel %(id)s") % {"id": self.pk}


class Stopped(models.Model):
    """A subscriber whom policy stopped, with the reason and the values it saw."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="stopped_people")
    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="stopped_people")
    subscriber_id = models.BigIntegerField()
    occurrence = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=40)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "stopped"
        indexes = [models.Index(fields=["run", "subscriber_id"], name="stopped_of_run")]

    def __str__(self) -> str:
        return f"{self.subscriber_id}: {self.reason}"
