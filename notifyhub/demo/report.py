"""What the demo came to: one line of JSON, and every way in which two independent counts differ."""

from typing import Any

import msgspec

from delivery import runs
from delivery.models import Run
from devices.models import Provider
from fleet.client import Fleet, FleetError
from notifyhub.demo.watch import sent_by_provider

FLEET_NAMES = {"fcm": "fcm", "apns": "apns", "socket": "websocket"}
"""Our providers as the fleet's counts name them."""


class Report(msgspec.Struct, frozen=True):
    """The line that `./run --once` ends with: a campaign's two balances, and how fast the critical event was."""

    audience: int
    stopped: dict[str, int]
    logged: int
    messages: int
    outcomes: dict[str, int]
    seconds: float
    event_to_socket_ms: float


def line(progress: runs.Progress, *, seconds: float, event_to_socket_ms: float) -> str:
    """Return the report as one line of JSON."""
    report = Report(
        audience=progress.audience,
        stopped=progress.stopped,
        logged=progress.logged,
        messages=progress.messages,
        outcomes=progress.outcomes,
        seconds=round(seconds, 2),
        event_to_socket_ms=round(event_to_socket_ms, 1),
    )
    return msgspec.json.encode(report).decode()


def differences(run: Run, fleet: Fleet, *, within: float = 10.0, late: int = 0) -> list[str]:
    """Return what does not agree about a run, a sentence each: its balances, the log read back, the fleet's count.

    Waits up to `within` seconds for the fleet: what was written to a socket is read a moment later.
    Sockets may have got up to `late` messages more than were sent: stored ones, which a device reads
    when it comes back.
    """
    balance = runs.balances(run)
    found = list(balance.faults)
    uid = str(run.uid)
    try:
        fleet.wait(run=uid, at_least=balance.progress.outcomes.get("sent", 0), timeout=within)
    except FleetError:
        # The counts below say what is missing, provider by provider.
        pass
    counts: dict[str, Any] = fleet.arrived(run=uid)
    for provider, sent in sorted(sent_by_provider(run).items()):
        arrived = counts.get(FLEET_NAMES[provider], {}).get("distinct_messages", 0)
        most = sent + late if provider == Provider.SOCKET else sent
        if not sent <= arrived <= most:
            found.append(f"{provider}: {sent} sent, {arrived} arrived at the fleet")
    return [f"{run.title} ({uid}): {fault}" for fault in found]


def event_differences(run: Run, fleet: Fleet, *, notification: str, earlier: int) -> list[str]:
    """Return what does not agree about one event's notification in its standing run, a sentence each.

    `earlier` is what the run had sent before. The fleet counts this notification only: the run stands
    for a day, and a fleet that has begun anew is told again what it did not acknowledge before.
    """
    found = list(runs.balances(run).faults)
    sent = sum(sent_by_provider(run).values()) - earlier
    arrived = sum(row[1] == notification for row in fleet.arrivals(run=str(run.uid))["arrivals"])
    if arrived != sent:
        found.append(f"{sent} sent for the event, {arrived} arrived at the fleet")
    return [f"{run.title} ({run.uid}): {fault}" for fault in found]
