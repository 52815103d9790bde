"""What a campaign is measured by: its goal, and the variants and control group that are compared."""

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.models.campaign import Campaign
from campaigns.models.event import EventType
from devices.models import Application


class Experiment(models.Model):
    """A campaign's goal and what is compared; it takes effect at the next launch, and running runs keep theirs."""

    class Metric(models.TextChoices):
        OPENED = "opened", _("Opened")
        CONVERTED = "converted", _("Converted: the goal's event came")

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="+"
    )
    campaign = models.OneToOneField(
        Campaign, on_delete=models.CASCADE, related_name="experiment", verbose_name=_("campaign")
    )
    goal = models.ForeignKey(
        EventType,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("goal"),
        help_text=_("The event that the campaign is to bring about, as a purchase; empty: none."),
    )
    goal_hours = models.PositiveIntegerField(
        _("within hours"),
        default=24,
        validators=[MinValueValidator(1), MaxValueValidator(720)],
        help_text=_("How long after somebody was told the event counts."),
    )
    control = models.PositiveSmallIntegerField(
        _("control group, per cent"),
        default=0,
        validators=[MaxValueValidator(50)],
        help_text=_("So many of the audience are told nothing, to compare with; 0: none."),
    )
    metric = models.CharField(_("compared by"), max_length=9, choices=Metric.choices, default=Metric.OPENED)
    automatic = models.BooleanField(
        _("choose the winner by itself"),
        default=False,
        help_text=_("When the evidence is there, later launches tell the winner alone."),
    )
    decide_hours = models.PositiveIntegerField(
        _("look after hours"),
        default=24,
        validators=[MinValueValidator(1), MaxValueValidator(720)],
        help_text=_("So long after each run began the numbers are looked at, once."),
    )
    winner = models.CharField(_("winner"), max_length=16, blank=True, editable=False)
    decided_at = models.DateTimeField(_("decided"), null=True, editable=False)
    because = models.CharField(_("because"), max_length=300, blank=True, editable=False)
    looks = models.PositiveIntegerField(default=0, editable=False, help_text="Runs that were looked at.")
    looked_until = models.DateTimeField(
        null=True, editable=False, help_text="When the last run began that was looked at."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("experiment")
        verbose_name_plural = _("experiments")

    def __str__(self) -> str:
        return str(self.campaign)


class Variant(models.Model):
    """One of the texts, pictures or links that are tried; what is empty is as the campaign has it."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="variants")
    key = models.SlugField(_("name"), max_length=16, help_text=_("As A, B."))
    weight = models.PositiveSmallIntegerField(
        _("weight"), default=1, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    title = models.CharField(_("title"), max_length=200, blank=True)
    subtitle = models.CharField(_("subtitle"), max_length=200, blank=True)
    body = models.TextField(_("body"), max_length=2000, blank=True)
    image = models.CharField(
        _("image"), max_length=500, blank=True, help_text=_("https:// address of a picture.")
    )
    link = models.CharField(
        _("link"), max_length=500, blank=True, help_text=_("https:// or the app's own scheme.")
    )
    locales = models.JSONField(
        _("languages"), default=dict, blank=True, help_text=_('As {"de": {"title": "…"}}.')
    )

    class Meta:
        verbose_name = _("variant")
        verbose_name_plural = _("variants")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["experiment", "key"], name="one_variant_per_key")]

    def __str__(self) -> str:
        return self.key
