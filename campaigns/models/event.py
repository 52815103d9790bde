"""Events, what may be said about them, and what was decided."""

import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.models.campaign import Campaign
from campaigns.models.limits import LONGEST_DELAY, LONGEST_ONCE_DAYS, validate_condition
from campaigns.schemas import SchemaError, check_schema
from devices.models import Application, Platform
from devices.models.application import LANE_CHOICES, validate_time_zone

SENDERS = ("keys", "clients", "clock")


def validate_schema(schema: Any) -> None:
    """Refuse what is no JSON Schema, with the place and the reason."""
    try:
        check_schema(schema)
    except SchemaError as error:
        raise ValidationError(str(error)) from None


def validate_senders(senders: Any) -> None:
    """Refuse anything but a list of kinds of senders."""
    if not isinstance(senders, list) or not all(isinstance(one, str) and one in SENDERS for one in senders):
        raise ValidationError(
            gettext('Write a list of %(listed)s, as ["keys", "clients"].') % {"listed": ", ".join(SENDERS)}
        )


def validate_platforms(platforms: Any) -> None:
    """Refuse anything but a list of platforms."""
    known = Platform.values
    if not isinstance(platforms, list) or not all(isinstance(one, str) and one in known for one in platforms):
        raise ValidationError(
            gettext('Write a list of %(listed)s, as ["tv", "web"]; empty: all.')
            % {"listed": ", ".join(known)}
        )


def default_senders() -> list[str]:
    """Keys may send an event unless more is said."""
    return ["keys"]


class EventType(models.Model):
    """An event's name, schema, lane and who may send it."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="event_types"
    )
    name = models.CharField(
        _("name"), max_length=150, help_text=_("The CloudEvents `type`, as com.example.order.shipped.")
    )
    lane = models.CharField(_("lane"), max_length=8, choices=LANE_CHOICES, default="normal")
    senders = models.JSONField(
        _("senders"),
        default=default_senders,
        validators=[validate_senders],
        help_text=_('Who may send it, of ["keys", "clients", "clock"].'),
    )
    schema = models.JSONField(
        _("schema"),
        null=True,
        blank=True,
        validators=[validate_schema],
        help_text=_("JSON Schema of `data`; empty: anything."),
    )
    description = models.CharField(_("description"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("event type")
        verbose_name_plural = _("event types")
        constraints = [
            models.UniqueConstraint(fields=["application", "name"], name="one_event_type_per_name")
        ]

    def __str__(self) -> str:
        return self.name


class Rule(models.Model):
    """Forwards events of one type that meet a condition to a campaign."""

    class Recipients(models.TextChoices):
        SUBJECT = "subject", _("The event's subject")
        IDS = "ids", _("Subscribers that an expression lists")
        AUDIENCE = "audience", _("The campaign's audience")

    uid = models.UUIDField(_("uid"), default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="rules"
    )
    event_type = models.ForeignKey(
        EventType, verbose_name=_("event type"), on_delete=models.CASCADE, related_name="rules"
    )
    name = models.CharField(_("name"), max_length=150)
    condition = models.TextField(
        _("condition"),
        blank=True,
        validators=[validate_condition],
        help_text=_("CEL over `event`, as event.data.total > 100; empty: always."),
    )
    campaign = models.ForeignKey(
        Campaign, verbose_name=_("campaign"), on_delete=models.PROTECT, related_name="rules"
    )
    recipients = models.CharField(
        _("recipients"), max_length=8, choices=Recipients.choices, default=Recipients.SUBJECT
    )
    recipient_ids = models.TextField(
        _("recipient ids"),
        blank=True,
        validators=[validate_condition],
        help_text=_("CEL that gives a list of external ids, as event.data.watchers."),
    )
    beyond_sender = models.BooleanField(
        _("may reach others"),
        default=False,
        help_text=_("A client's event may reach more than the client's subscriber."),
    )
    platforms = models.JSONField(
        _("platforms"),
        default=list,
        blank=True,
        validators=[validate_platforms],
        help_text=_('As ["tv", "web"]; empty: all.'),
    )
    lane = models.CharField(
        _("lane"), max_length=8, choices=LANE_CHOICES, blank=True, help_text=_("May only lower the type's.")
    )
    max_age = models.PositiveIntegerField(
        _("max age"), default=86_400, help_text=_("Seconds after which an event is too old.")
    )
    delay = models.PositiveIntegerField(
        _("delay"),
        default=0,
        validators=[MaxValueValidator(LONGEST_DELAY)],
        help_text=_("Seconds after the event at which people are told; 0: at once."),
    )
    unless = models.ForeignKey(
        EventType,
        verbose_name=_("unless"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text=_("Nobody is told about whom an event of this type comes before the delay is over."),
    )
    once_days = models.PositiveSmallIntegerField(
        _("once days"),
        default=0,
        validators=[MaxValueValidator(LONGEST_ONCE_DAYS)],
        help_text=_("Each person at most once in so many days; 0: every time."),
    )
    of_campaign = models.BooleanField(
        default=False, editable=False, help_text="It is its campaign's own, and written there."
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="one_rule_per_name")]

    DECIDING = (
        *("event_type_id", "condition", "campaign_id", "recipients", "recipient_ids"),
        *("beyond_sender", "platforms", "lane", "max_age", "delay", "unless_id", "once_days"),
    )
    """What an event's decision depends on: a change of it makes a new version."""

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.recipients == self.Recipients.IDS and not self.recipient_ids.strip():
            raise ValidationError(
                {"recipient_ids": gettext("Write an expression that gives the list of external ids.")}
            )
        if problem := self.waiting_problem():
            raise ValidationError({problem[0]: problem[1]})

    def waiting_problem(self) -> tuple[str, str] | None:
        """Return what does not go together in how it waits: the field and a sentence."""
        if self.recipients == self.Recipients.AUDIENCE:
            for name in ("delay", "once_days"):
                if getattr(self, name):
                    return name, gettext("It is for people whom the event names, not for a whole audience.")
        if self.unless_id is not None and not self.delay:
            return "unless", gettext(
                "Without a delay there is no time in which it could happen: set a delay."
            )
        if self.unless_id is not None and self.unless_id == self.event_type_id:
            return "unless", gettext("That is the event that starts it: choose another.")
        return None

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the rule, as a new version when anything that decides has changed."""
        before = (
            type(self).objects.filter(pk=self.pk).values("version", *self.DECIDING).first()
            if self.pk
            else None
        )
        if before is not None and any(before[name] != getattr(self, name) for name in self.DECIDING):
            self.version = before["version"] + 1
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "version"}
        super().save(*args, **kwargs)


class Event(models.Model):
    """What happened: a CloudEvent that was accepted."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="events"
    )
    uid = models.UUIDField(_("uid"), default=uuid.uuid4, editable=False)
    source = models.CharField(_("source"), max_length=300)
    event_id = models.CharField(_("event id"), max_length=200)
    type = models.CharField(_("type"), max_length=150)
    subject = models.CharField(_("subject"), max_length=255, blank=True)
    time = models.DateTimeField(_("time"))
    data = models.JSONField(_("data"), null=True)
    digest = models.CharField(max_length=64, help_text="Of the whole event, to tell a repeat from a clash.")
    sender = models.CharField(_("sender"), max_length=8, help_text=_("keys, clients or clock"))
    lane = models.CharField(_("lane"), max_length=8, choices=LANE_CHOICES)
    received_at = models.FloatField()
    decided = models.BooleanField(_("decided"), default=False)
    claim = models.CharField(max_length=40, blank=True)
    lease_until = models.FloatField(default=0)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.UniqueConstraint(
                fields=["application", "source", "event_id"], name="one_event_per_identity"
            )
        ]
        indexes = [
            models.Index(fields=["lane", "id"], condition=models.Q(decided=False), name="events_undecided"),
            models.Index(fields=["application", "-id"], name="events_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Decision(models.Model):
    """What the engine made of an event, rule by rule, and why."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="decisions")
    rule = models.ForeignKey(
        Rule, verbose_name=_("rule"), null=True, on_delete=models.SET_NULL, related_name="decisions"
    )
    rule_version = models.PositiveIntegerField(default=0)
    forwarded = models.BooleanField(_("forwarded"))
    reason = models.CharField(_("reason"), max_length=40)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    run = models.UUIDField(null=True)
    recipients = models.PositiveIntegerField(_("recipients"), default=0)
    decided_at = models.FloatField()

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")

    def __str__(self) -> str:
        return f"{self.event}: {self.reason}"


class Schedule(models.Model):
    """An event that the clock sends: a type, a crontab and a time zone."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="schedules"
    )
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=150)
    event_type = models.ForeignKey(
        EventType, verbose_name=_("event type"), on_delete=models.CASCADE, related_name="schedules"
    )
    crontab = models.CharField(
        _("crontab"), max_length=100, help_text=_("Minute hour day month weekday, as 0 9 * * mon-fri.")
    )
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone]
    )
    subject = models.CharField(_("subject"), max_length=255, blank=True)
    data = models.JSONField(_("data"), default=dict, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    due_at = models.DateTimeField(_("due at"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        constraints = [models.UniqueConstraint(fields=["application", "name"], name="one_schedule_per_name")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the schedule; when its times have changed, or it is enabled again, it begins anew from now."""
        timing = ("crontab", "time_zone", "enabled")
        before = type(self).objects.filter(pk=self.pk).values(*timing).first() if self.pk else None
        if before is not None and any(before[name] != getattr(self, name) for name in timing):
            self.due_at = None
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "due_at"}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        from campaigns.schedule import CrontabError, validate_crontab

        try:
            validate_crontab(self.crontab)
        except CrontabError as error:
            raise ValidationError({"crontab": str(error)}) from None


class IdempotencyKey(models.Model):
    """That a request with this `Idempotency-Key` was taken, and what it was answered."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["application", "key"], name="one_answer_per_idempotency_key")
        ]

    def __str__(self) -> str:
        return self.key
