"""The admin's first page: a few true numbers of the member's applications, and what to do next."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db.models import Count, F, Min, Q, Sum
from django.db.models.functions import Floor
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from redis.exceptions import RedisError

from campaigns.models import Campaign, CampaignVersion, Schedule
from delivery import ages, charts
from delivery.lanes import LANES
from delivery.models import Credential, Gate, Hold, Incident, Page, Parcel, Run, WorkState
from delivery.reasons import outcome_sentence
from devices import staff
from devices.models import Application, Device, Power
from devices.models.application import LANE_CHOICES
from devices.words import number, within
from notifyhub import census

ENDING_DAYS = 30
GOING = (Run.State.PLANNED, Run.State.RUNNING, Run.State.PAUSED)

LANE_LABELS = dict(LANE_CHOICES)


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
        "title": gettext("Dashboard"),
        "member": bool(mine),
        "several": len(mine) > 1,
        "first_steps": first_steps(request, mine),
        "may_edit": bool(staff.enters(request, Power.WRITE)),
        "going": going.defer("snapshot").select_related("application")[:8],
        "going_count": going.count(),
        "latest": Run.objects.filter(application__in=mine)
        .defer("snapshot")
        .select_related("application")[:8],
        "sent": (sums["sent"] or 0),
        "stored": (sums["stored"] or 0),
        "failed": (sums["failed"] or 0),
        "hourly": sent_by_hour(mine, timezone.now()),
        "queue": queue(mine),
        "trouble": trouble(mine, since),
        "next": planned(mine),
        "gates": Gate.objects.filter(Gate.holding(), application__in=mine).select_related("application"),
        "stuck": sum(stuck),
        "holds": Hold.objects.filter(application__in=mine).select_related("application"),
        "stoppable": Application.objects.filter(pk__in=staff.enters(request, Power.HALT))[:12],
        "ages": delivered(mine, since.timestamp() + 24 * 3600),
        **msgspec.structs.asdict(census.of(mine)),
        "ending": ending(mine),
        "in_review": Campaign.objects.filter(application__in=mine, state=Campaign.State.IN_REVIEW).count(),
    }


def first_steps(request: HttpRequest, applications: list[int]) -> list[tuple[str, str, bool]]:
    """Return what is to be done before anything can be sent: (words, address, done); nothing when it all is."""
    steps = [
        (
            gettext("Register people and devices through the API, with a key"),
            reverse("admin:devices_apikey_changelist"),
            Device.objects.filter(application__in=applications).exists(),
        ),
        (
            gettext("Store the credentials of FCM, APNs or Web Push (WebSockets need none)"),
            reverse("admin:delivery_credential_changelist"),
            Credential.objects.filter(application__in=applications).exists(),
        ),
        (
            gettext("Write the first campaign and launch it"),
            reverse("admin:campaigns_campaign_add"),
            Run.objects.filter(application__in=applications).exists(),
        ),
        *_second_look(staff.enters(request, Power.MANAGE)),
    ]
    return [] if all(done for _, _, done in steps) else steps


def _second_look(managed: list[int]) -> list[tuple[str, str, bool]]:
    """Return the step of asking for approvals, once two people could approve in an application of the member's.

    Somebody alone needs none: nobody could give it.
    """
    if not managed:
        return []
    several = [key for key, people in staff.holders(Power.LAUNCH, managed).items() if people > 1]
    asked = {
        one: one.approval_from is not None or one.second_approval_from is not None
        for one in Application.objects.filter(pk__in=several)
    }
    if not asked:
        return []
    one = min(asked, key=lambda application: asked[application])
    said = gettext(
        "Two people can approve in %(application)s: say from how many people on a launch needs it"
    ) % {"application": one.name}
    address = reverse("admin:devices_application_change", args=[one.pk])
    return [(said, f"{address}#id_approval_from", asked[one])]


def sent_by_hour(applications: list[int], now: datetime) -> dict[str, Any] | None:
    """Return a picture and a table of the messages of the last 24 hours; None when there were none."""
    this = int(now.timestamp() // 3600)
    closed = Parcel.objects.filter(application__in=applications, closed_at__gte=(this - 23) * 3600)
    rows = {
        int(hour): (sent or 0, failed or 0)
        for hour, sent, failed in closed.annotate(hour=Floor(F("closed_at") / 3600.0))
        .values_list("hour")
        .annotate(Sum("sent"), Sum("failed"))
        .order_by("hour")
    }
    if not any(sent or failed for sent, failed in rows.values()):
        return None
    hours = range(this - 23, this + 1)
    table = [(datetime.fromtimestamp(hour * 3600, UTC), *rows.get(hour, (0, 0))) for hour in hours]
    names = [gettext("Sent"), gettext("Failed")]
    return {
        "picture": charts.lines(
            [f"{timezone.localtime(at):%H:%M}" for at, _, _ in table],
            [(names[0], [sent for _, sent, _ in table]), (names[1], [failed for _, _, failed in table])],
            says=gettext("Messages by hour; the table beneath has the numbers"),
            high=180,
        ),
        "legend": charts.legend(names),
        "table": table,
    }


def queue(applications: list[int]) -> list[dict[str, Any]]:
    """Return by lane what waits to be planned and sent, and how long the oldest of what is due has waited."""
    now = time.time()
    found: dict[str, dict[str, Any]] = {}
    for name, model, size in (("pages", Page, Count("pk")), ("messages", Parcel, Sum("size"))):
        waiting = model.objects.filter(
            application__in=applications, state__in=[WorkState.WAITING, WorkState.CLAIMED]
        )
        for lane, count, oldest in waiting.order_by().values_list("lane").annotate(size, Min("due_at")):
            row = found.setdefault(
                lane,
                {"lane": lane, "lane_label": LANE_LABELS[lane], "pages": 0, "messages": 0, "waited": 0.0},
            )
            row[name] = count or 0
            row["waited"] = max(row["waited"], now - oldest)
    for row in found.values():
        row["late"] = row["waited"] > ages.objective(row["lane"])
    return [found[lane] for lane in LANES if lane in found]


def trouble(applications: list[int], since: datetime) -> list[tuple[str, str, datetime]]:
    """Return what is worth a look, newest first: (sentence, address, when). Gates and holds stand above it."""
    incidents = Incident.objects.filter(application__in=applications, resolved_at=None).exclude(
        kind="gate_shut"
    )
    found = [(one.said, one.path or "/admin/", one.opened_at) for one in incidents[:6]]
    known = {path for _, path, _ in found}
    runs = Run.objects.filter(application__in=applications, created_at__gte=since - timedelta(days=6)).filter(
        Q(state=Run.State.FAILED) | Q(state=Run.State.PAUSED, brake=Run.Brake.TRIPPED)
    )
    for run in runs.defer("snapshot")[:6]:
        path = reverse("admin:delivery_run_change", args=[run.pk])
        if path not in known:
            words = {"run": str(run), "state": within(run.get_state_display()), "reason": run.because}
            found.append((gettext("“%(run)s” is %(state)s: %(reason)s") % words, path, run.created_at))
    canaries = CampaignVersion.objects.filter(campaign__application__in=applications, canary_state="waiting")
    for key, name, at in canaries.order_by("-launched_at").values_list(
        "campaign", "campaign__name", "launched_at"
    )[:3]:
        said = gettext("“%(campaign)s” has told its canary and waits: go on, or stop it.") % {
            "campaign": name
        }
        path = reverse("admin:campaigns_campaign_preflight", args=[key])
        if path not in known:
            found.append((said, path, at or timezone.now()))
    reasons: Counter[str] = Counter()
    closed = Parcel.objects.filter(
        application__in=applications, closed_at__gte=since.timestamp(), failed__gt=0
    )
    for counts in closed.order_by("-closed_at").values_list("reasons", flat=True)[:500]:
        reasons.update(counts)
    for reason, count in reasons.most_common(3):
        words = {"count": number(count), "why": outcome_sentence(reason)}
        found.append(
            (
                gettext("%(count)s messages failed in the last 24 hours: %(why)s") % words,
                reverse("admin:delivery_run_changelist"),
                timezone.now(),
            )
        )
    return sorted(found, key=lambda one: one[2], reverse=True)[:8]


def planned(applications: list[int]) -> list[tuple[datetime, str, str]]:
    """Return the next runs that the clock will start: (when, what, address), soonest first."""
    versions = CampaignVersion.objects.filter(
        launch_at__isnull=False,
        launched_at=None,
        campaign__application__in=applications,
        campaign__state=Campaign.State.LIVE,
    )
    found = [
        (at, name, reverse("admin:campaigns_campaign_change", args=[key]))
        for at, name, key in versions.order_by("launch_at").values_list(
            "launch_at", "campaign__name", "campaign"
        )[:6]
        if at is not None
    ]
    schedules = Schedule.objects.filter(application__in=applications, enabled=True, due_at__isnull=False)
    found += [
        (
            at,
            gettext("Schedule “%(name)s”") % {"name": name},
            reverse("admin:campaigns_schedule_change", args=[key]),
        )
        for at, name, key in schedules.order_by("due_at").values_list("due_at", "name", "pk")[:6]
        if at is not None
    ]
    return sorted(found)[:6]


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
            "lane_label": LANE_LABELS[lane],
            "count": histogram.count,
            "share": 100 * (histogram.share or 0.0),
            "objective": ages.objective(lane),
            "median": histogram.median(),
        }
        for lane, histogram in found.items()
        if histogram.count
    ]
