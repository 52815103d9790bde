"""What is wrong with the hub now, in sentences that say what to do: for whoever was woken by it."""

from collections.abc import Iterator

import msgspec
from django.db.models import F
from redis.exceptions import RedisError

from delivery import ages, dbclock, presence
from delivery.models import Gate, Hold, Run
from notifyhub import health, metrics

WHERE = {
    "database": "DATABASE_URL says where it is. Without it nothing is accepted (503), and nothing that was is lost.",
    "log": "It stands in the database, or in Cassandra (NOTIFYHUB_CASSANDRA_HOSTS). Without it pages and readers wait.",
    "redis": "NOTIFYHUB_REDIS_URL says where it is. Without it events are accepted, and sending is slow or waits.",
}
MOST = 20
"""How many runs are named."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at; `wrong`: it keeps something from being sent, or will."""

    wrong: bool
    sentence: str


def findings() -> Iterator[Finding]:
    """Yield what the hub's parts, queues, gates and stops are like; of a database that is away that alone."""
    parts = health.examine()
    for name, part in parts.items():
        if part["ok"]:
            yield Finding(False, f"{name}: answers ({part['ms']} ms).")
        else:
            yield Finding(True, f"{name}: NO ANSWER ({part['error']}). {WHERE[name]}")
    if not parts["database"]["ok"]:
        return
    yield from _stops()
    yield from _queues()
    if parts["redis"]["ok"]:
        yield from _nodes()


def _stops() -> Iterator[Finding]:
    """Yield what somebody, a provider or a guard has stopped."""
    for hold in Hold.objects.select_related("application"):
        which = f" --lane {hold.lane}" if hold.lane else ""
        yield Finding(
            True,
            f"stopped: {hold}, by {hold.by or 'somebody'} at {hold.at:%Y-%m-%d %H:%M} UTC"
            f"{f' ({hold.reason})' if hold.reason else ''}. "
            f"Go on: manage.py stop --application {hold.application.slug}{which} --resume",
        )
    for gate in Gate.objects.filter(Gate.holding()).select_related("application"):
        until = f" until {gate.until:%H:%M:%S} UTC" if gate.until else ""
        yield Finding(
            True,
            f"gate {gate.state}: {gate.application.slug} {gate.provider}{until}: {gate.reason or 'no reason given'}. "
            "Ask the provider: manage.py doctor providers; open it in the admin (Delivery, Gates).",
        )
    paused = (
        Run.objects.filter(state=Run.State.PAUSED).annotate(slug=F("application__slug")).defer("snapshot")
    )
    for run in paused.order_by("-pk")[:MOST]:
        yield Finding(
            True,
            f"paused: {run.slug} run {run.uid} “{run.title}”: {run.reason or 'by somebody'}. Resume it on its page.",
        )


def _queues() -> Iterator[Finding]:
    """Yield what waits, what of it is late, and what was set aside."""
    now, waiting = dbclock.now(), 0
    for (stage, lane), count, since in metrics.waiting():
        waiting += count
        if (late := now - since) > ages.objective(lane):
            yield Finding(
                True,
                f"late: {count} of {stage} {lane} wait, the oldest for {late:.0f} s. Where nothing is stopped above, "
                "look whether the workers and the clock run, and at their log.",
            )
    yield Finding(False, f"waiting: {waiting} events, pages and parcels.")
    for stage, lane, count in metrics.set_aside():
        kind = "pages" if stage == "plan" else "parcels"
        yield Finding(
            True,
            f"set aside: {count} {kind} of {stage} {lane} after too many tries. Their errors stand in the admin "
            f"(Delivery, Stuck {kind}): try again, or give up.",
        )


def _nodes() -> Iterator[Finding]:
    try:
        figures = presence.read_figures()
    except RedisError:
        return
    devices = sum(figure.get("devices", 0) for figure in figures.values())
    if figures:
        yield Finding(False, f"nodes: {len(figures)} with {devices:.0f} devices.")
    else:
        yield Finding(True, "nodes: none gave a sign of life lately. Start one: manage.py serve --only web")
