"""The admin's first page: a few true numbers of the member's applications, and what to do next."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.http import HttpRequest
from django.utils import timezone
from redis.exceptions import RedisError

from campaigns.models import Campaign
from delivery import ages
from delivery.models import Credential, Gate, Hold, Page, Parcel, Run, WorkState
from devices import freshness, retirement, staff
from devices.models import Application, Device, Role, Subscriber

ENDING_DAYS = 30
GOING = (Run.State.PLANNED, Run.State.RUNNING, Run.State.PAUSED)


def numbers(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard's numbers to the index page's context; Unfold calls it."""
    mine = staff.enters(request)
    since = timezone.now() - timedelta(hours=24)
    closed = Parcel.objects.filter(application__in=mine, closed_at__gte=since.timestamp())
    sums = closed.aggregate(sent=Sum("sent"), stored=Sum("stored"), failed=Sum("failed"))
    going = Run.objects.filter(application__in=mine, state__in=GOING).exclude(kind=Run.Kind.STANDING)
    stuck = [
        model.objects.filter(application__in=mine, state=WorkState.DEAD).count() for model in (Page, Parcel)
    ]
    return {
        **context,
        "title": "Dashboard",
        "member": bool(mine),
        "several": len(mine) > 1,
        "may_edit": bool(staff.enters(request, Role.EDITOR)),
        "going": going.select_related("application")[:8],
        "going_count": going.count(),
        "latest": Run.objects.filter(application__in=mine).select_related("application")[:8],
        "sent": (sums["sent"] or 0),
        "stored": (sums["stored"] or 0),
        "failed": (sums["failed"] or 0),
        "gates": Gate.objects.filter(Gate.holding(), application__in=mine).select_related("application"),
        "stuck": sum(stuck),
        "holds": Hold.objects.filter(application__in=mine).select_related("application"),
        "stoppable": Application.objects.filter(pk__in=staff.enters(request, Role.APPROVER))[:12],
        "ages": delivered(mine, since.timestamp() + 24 * 3600),
        "people": Subscriber.objects.filter(application__in=mine).count(),
        **tokens(mine, since),
        "ending": ending(mine),
        "in_review": Campaign.objects.filter(application__in=mine, state=Campaign.State.IN_REVIEW).count(),
    }


def tokens(applications: list[int], since: datetime) -> dict[str, int]:
    """Return how many devices there are, how many gave no sign of life for long, and how many were lost since."""
    mine = Device.objects.filter(application__in=applications)
    active = mine.filter(state=Device.State.ACTIVE)
    dead = (retirement.DEAD_TOKEN, retirement.DEAD_SUBSCRIPTION)
    return {
        "devices": active.count(),
        "stale": active.filter(freshness.condition(freshness.STALE)).count(),
        "lapsed": active.filter(freshness.condition(freshness.LAPSED)).count(),
        "lost": mine.filter(retired_at__gte=since, retired_reason__in=dead).count(),
    }


def ending(applications: list[int]) -> list[Credential]:
    """Return the credentials that a provider refuses, or that have ended or will within a month."""
    soon = timezone.now() + timedelta(days=ENDING_DAYS)
    rows = Credential.objects.filter(
        Q(refused_at__isnull=False) | Q(expires_at__lt=soon), application__in=applications
    )
    return list(rows.select_related("application").order_by("expires_at")[:12])


def delivered(applications: list[int], now: float) -> list[dict[str, Any]]:
    """Return by lane how old the last day's messages were, beside the objective; nothing while Redis is away."""
    try:
        found = ages.lately(applications, now=now) if applications else {}
    except RedisError:
        return []
    return [
        {
            "lane": lane,
            "count": histogram.count,
            "share": 100 * (histogram.share or 0.0),
            "objective": ages.objective(lane),
            "median": histogram.median(),
        }
        for lane, histogram in found.items()
        if histogram.count
    ]
