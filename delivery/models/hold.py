"""Holds: that nothing of an application, or of one of its lanes, is planned or sent until further notice."""

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from delivery import remarks
from devices.models import Application
from devices.models.application import LANE_CHOICES
from devices.words import within


class Hold(models.Model):
    """An application's stop, of one lane or of all of them; nothing is lost, it waits."""

    application = models.ForeignKey(
        Application, verbose_name=_("application"), on_delete=models.CASCADE, related_name="holds"
    )
    lane = models.CharField(
        _("lane"), max_length=8, choices=LANE_CHOICES, blank=True, help_text=_("Empty: every lane.")
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    by = models.CharField(_("by"), max_length=150, blank=True, help_text=_("Who stopped it."))
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["application", "lane"], name="one_hold_per_lane")]

    def __str__(self) -> str:
        if not self.lane:
            return gettext("%(application)s: every lane") % {"application": self.application}
        words = {"application": self.application, "lane": within(self.get_lane_display())}
        return gettext("%(application)s: %(lane)s lane") % words

    @property
    def because(self) -> str:
        """The reason in the language that is active."""
        return remarks.said(self.reason)


def held() -> Exists:
    """Return the condition that a page, parcel or run (`application`, `lane`) is held."""
    mine = Q(lane="") | Q(lane=OuterRef("lane"))
    return Exists(Hold.objects.filter(mine, application=OuterRef("application")).order_by())
