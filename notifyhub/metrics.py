"""Figures for Prometheus: what waits and how long, what is stuck or stopped, how old messages were, read when asked.

The hub is several processes; what they share is the database and Redis, so these figures hold for all of it.
"""

import hmac
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from campaigns.models import Event
from delivery import ages, dbclock, presence
from delivery.models import Gate, Hold, Page, Parcel, Run, WorkState
from notifyhub import health

OPEN = [WorkState.WAITING, WorkState.CLAIMED]


class HubCollector(Collector):
    """Reads the figures from the database and Redis; every query is served by a partial index."""

    def collect(self) -> Iterable[Metric]:
        """Return which parts answer, and the figures of those that do: one that hangs costs two seconds, once."""
        up = GaugeMetricFamily("notifyhub_up", "Whether a part answers, 1 or 0.", labels=["part"])
        parts = {name: bool(part["ok"]) for name, part in health.examine().items()}
        for name, answers in parts.items():
            up.add_metric([name], float(answers))
        yield up
        if parts["database"]:
            yield from self._of_database()
        if parts["redis"]:
            yield from _of_redis()

    def _of_database(self) -> list[Metric]:
        now = dbclock.now()
        works = GaugeMetricFamily(
            "notifyhub_waiting", "Events to decide, pages to plan, parcels to send.", labels=["stage", "lane"]
        )
        oldest = GaugeMetricFamily(
            "notifyhub_oldest_seconds", "How long the oldest of them is overdue.", labels=["stage", "lane"]
        )
        for labels, count, since in waiting():
            works.add_metric(labels, count)
            oldest.add_metric(labels, max(0.0, now - since))
        gates = GaugeMetricFamily(
            "notifyhub_gates", "Gates by provider and state.", labels=["provider", "state"]
        )
        for provider, state, count in _counted(Gate.objects, "provider", "state"):
            gates.add_metric([provider, state], count)
        runs = GaugeMetricFamily("notifyhub_runs", "Runs that are not over, by state.", labels=["state"])
        active = Run.objects.filter(state__in=[Run.State.PLANNED, Run.State.RUNNING, Run.State.PAUSED])
        for state, count in _counted(active, "state"):
            runs.add_metric([state], count)
        dead = GaugeMetricFamily(
            "notifyhub_dead_letters",
            "Pages and parcels set aside after too many tries.",
            labels=["stage", "lane"],
        )
        for stage, lane, count in set_aside():
            dead.add_metric([stage, lane], count)
        holds = GaugeMetricFamily("notifyhub_holds", "Stops in force.", value=Hold.objects.count())
        return [works, oldest, gates, runs, dead, holds]


def waiting() -> Iterator[tuple[list[str], int, float]]:
    """Yield ([stage, lane], how many, since when the oldest) of all that waits."""
    events = Event.objects.filter(decided=False)
    for lane, count, since in _counted(events, "lane", least="received_at"):
        yield ["decide", lane], count, since
    pages = Page.objects.filter(state__in=OPEN)
    for lane, count, since in _counted(pages, "lane", least="due_at"):
        yield ["plan", lane], count, since
    parcels = Parcel.objects.filter(state__in=OPEN)
    for provider, lane, count, since in _counted(parcels, "provider", "lane", least="due_at"):
        yield [provider, lane], count, since


def set_aside() -> Iterator[tuple[str, str, int]]:
    """Yield (stage, lane, how many) of all that was set aside."""
    pages = Page.objects.filter(state=WorkState.DEAD)
    for lane, count in _counted(pages, "lane"):
        yield "plan", lane, count
    parcels = Parcel.objects.filter(state=WorkState.DEAD)
    yield from _counted(parcels, "provider", "lane")


def _counted(rows: Any, *by: str, least: str = "") -> Any:
    """Return (values of `by`, how many, the least of `least` if asked): a row for each group.

    Aggregates within `values_list` would be by row.
    """
    found = rows.order_by().values_list(*by).annotate(Count("pk"))
    return found.annotate(Min(least)) if least else found


def _of_redis() -> list[Metric]:
    """Return the figures that stand in Redis; none when it goes away meanwhile."""
    age = HistogramMetricFamily(
        "notifyhub_age_seconds", "Age of messages when a provider or socket took them.", labels=["lane"]
    )
    within = GaugeMetricFamily(
        "notifyhub_age_within_objective", "Share of them that were in time, 0 to 1.", labels=["lane"]
    )
    objective = GaugeMetricFamily(
        "notifyhub_age_objective_seconds", "The age by which they should be delivered.", labels=["lane"]
    )
    try:
        found = ages.totals()
        alive = presence.read_figures()
        nodes = GaugeMetricFamily(
            "notifyhub_nodes", "WebSocket servers that gave a sign of life.", value=len(alive)
        )
        node = GaugeMetricFamily(
            "notifyhub_node", "What each WebSocket server says of itself.", labels=["node", "figure"]
        )
        for name, figures in alive.items():
            for figure, value in figures.items():
                node.add_metric([name, figure], value)
    except RedisError:
        return []
    for lane, histogram in found.items():
        buckets, passed = [], 0
        for bound, inside in zip([*map(str, ages.BOUNDS), "+Inf"], histogram.buckets, strict=True):
            passed += inside
            buckets.append((bound, passed))
        age.add_metric([lane], buckets, histogram.seconds)
        objective.add_metric([lane], ages.objective(lane))
        if histogram.share is not None:
            within.add_metric([lane], histogram.share)
    return [age, within, objective, nodes, node]


registry = CollectorRegistry(auto_describe=False)
registry.register(HubCollector())


def _allowed(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        shown = request.headers.get("Authorization", "")
        return hmac.compare_digest(shown.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    # Behind a proxy every request comes from this machine; only a token tells them apart then.
    forwarded = settings.BEHIND_TLS or "X-Forwarded-For" in request.headers
    return not forwarded and request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the figures to this machine, or to whoever shows `NOTIFYHUB_METRICS_TOKEN`; else 403."""
    if not _allowed(request):
        return HttpResponse("Set NOTIFYHUB_METRICS_TOKEN and show it as a bearer token.\n", "text/plain", 403)
    return HttpResponse(generate_latest(registry), CONTENT_TYPE_LATEST)
