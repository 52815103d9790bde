"""Stop all: holds an application, or one of its lanes, until somebody resumes it.

Nothing of it is claimed from then on, and a parcel on its way starts no further message
(`delivery.halting`); what is under way at a provider ends. It all waits, and expires at its time.
"""

import structlog
from django.utils import timezone
from django.utils.translation import gettext as _

from delivery import bell, news
from delivery.lanes import LANES
from delivery.models import Hold
from devices.models import Application

log = structlog.get_logger(__name__)


class NotHeldError(Exception):
    """There is nothing to resume; says what is held instead."""


def stop(application: Application, *, lane: str = "", by: str = "", reason: str = "") -> Hold:
    """Hold a lane of an application, or all of them; one that is held already keeps its first reason.

    Raises `ValueError` for a lane that there is not.
    """
    if lane and lane not in LANES:
        raise ValueError(
            _("There is no lane “%(lane)s”; there are %(listed)s.")
            % {"lane": lane, "listed": ", ".join(LANES)}
        )
    values = {"by": by[:150], "reason": reason[:300], "at": timezone.now()}
    hold, made = Hold.objects.get_or_create(application=application, lane=lane, defaults=values)
    if made:
        log.warning("hold.made", application=application.slug, lane=lane or "all", by=by, reason=reason)
        news.of_application(application.pk)
    return hold


def resume(application: Application, *, lane: str = "", by: str = "") -> list[str]:
    """End the hold of a lane, or without one every hold of the application; return the lanes ("" for all).

    Raises `NotHeldError` when there is none: a lane cannot go on alone while all lanes are held.
    """
    found = list(Hold.objects.filter(application=application, **({"lane": lane} if lane else {})))
    if not found:
        everything = bool(lane) and Hold.objects.filter(application=application, lane="").exists()
        raise NotHeldError(
            _("Every lane of %(application)s is stopped at once; resume all of them.")
            % {"application": application}
            if everything
            else _("The lane %(lane)s of %(application)s is not stopped.")
            % {"lane": lane, "application": application}
            if lane
            else _("Nothing of %(application)s is stopped.") % {"application": application}
        )
    end(*found, by=by)
    return [hold.lane for hold in found]


def end(*holds: Hold, by: str = "") -> None:
    """End these holds and ring for what has waited; one that is ended already is no error."""
    Hold.objects.filter(pk__in=[hold.pk for hold in holds]).delete()
    for hold in holds:
        log.warning("hold.ended", application=hold.application_id, lane=hold.lane or "all", by=by)
    for application in {hold.application_id for hold in holds}:
        news.of_application(application)
    bell.ring_due(at_once=True)
