"""Campaigns on their way through faults: what lay about and for how long, and what it all came to."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil
from django.db import DatabaseError, InterfaceError, connections

from delivery import runs
from delivery.models import Page, Parcel, Run, WorkState
from devices.models import Device, Provider
from notifyhub.demo import hub
from tests.pipeline.dramas import Theatre
from tests.pipeline.recovery import Recovery, Watch

LATENCY_MS = 300
"""How late providers answer while there are faults to come: long enough for calls to be under way when one strikes."""
GIVE_UP_SECONDS = 120.0
SLOWEST_RATE = 100.0
"""A wait is given up after `GIVE_UP_SECONDS`, or what a run needs at this many messages a second if that is longer."""
AHEAD = 5_000
"""While there are faults to come another run is launched when fewer messages than these, or than a run's, are left."""
LOOK_EVERY = 0.1

Answer = TypeVar("Answer")


def patiently(read: Callable[[], Answer], *, within: float = 60.0) -> Answer:
    """Return what `read` reads from the database, as soon as that is there again."""
    deadline = time.monotonic() + within
    while True:
        try:
            return read()
        except (DatabaseError, InterfaceError):
            for connection in connections.all(initialized_only=True):
                connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_EVERY)


def pieces(member: psutil.Process, **which: Any) -> int:
    """Count the pages and parcels that a process claimed last."""
    mine = {"worker__contains": f":{member.pid}:", **which}
    return sum(model._default_manager.filter(**mine).count() for model in (Page, Parcel))


@dataclass(frozen=True)
class Held:
    """A page or parcel that was in somebody's hands when these were cut off."""

    model: type[Page] | type[Parcel]
    pk: int
    fence: int
    lease_until: float
    since: float

    def is_held(self) -> bool:
        """Return whether nobody else has it by now, and its holder has not closed it."""
        mine = self.model._default_manager.filter(pk=self.pk, fence=self.fence, state=WorkState.CLAIMED)
        return mine.exists()


class Course:
    """A campaign to everybody, and another one whenever little is left of it while there are faults to come.

    So however fast the hub is, a fault meets it at work.
    """

    def __init__(self, scene: Theatre, first: Run | None = None) -> None:
        self.scene = scene
        told = Device.objects.filter(application=scene.set_up.application, subscriber__consent=True)
        self.sockets = told.filter(uid__in=[uid for _, uid in scene.set_up.sockets]).count()
        self.each = told.exclude(provider=Provider.SOCKET).count() + self.sockets
        """Messages of a run that arrive at the fleet."""
        self.within = max(GIVE_UP_SECONDS, self.each / SLOWEST_RATE)
        self.runs: list[Run] = []
        self.held: list[Held] = []
        self.held_at_faults: list[int] = []
        self.left_at_faults: list[int] = []
        self.recoveries: list[Recovery] = []
        self._leases_ended: dict[Held, Watch] = {}
        self._arrived: dict[int, int] = {}
        self._more_to_come = first is None
        if first is None:
            self._slow_providers(LATENCY_MS)
            self.runs.append(scene.launch())
        else:
            self.runs.append(first)

    # -- on the way

    def tend(self) -> None:
        """Note which of the work that lay about is in other hands now, and see that there is enough to do."""
        for piece in list(self.held):
            if not piece.is_held():
                self.held.remove(piece)
                watch = self._leases_ended.pop(piece, None) or Watch.started(piece.since)
                self.recoveries.append(watch.stop())
            elif piece not in self._leases_ended and time.time() > piece.lease_until:
                # until then nobody may take it, however long they wait for a core
                self._leases_ended[piece] = Watch.started(piece.since)
        if self._more_to_come and self.left() < min(self.each, AHEAD):
            try:
                self.runs.append(self.scene.launch())
            except (hub.HubError, OSError):
                # refused while a server is away; it is asked again soon
                pass

    def wait(self, ready: Callable[[], object], what: str, within: float | None = None) -> None:
        """Tend the runs until `ready`; raises `TimeoutError` with where the runs stand."""
        within = self.within if within is None else within
        deadline = time.monotonic() + within
        while not patiently(ready):
            patiently(self.tend)
            if time.monotonic() > deadline:
                stand = [runs.progress(run) for run in self.runs]
                raise TimeoutError(f"waited {within:g} s for {what}: {stand}")
            time.sleep(LOOK_EVERY)

    def tend_for(self, seconds: float) -> None:
        """Tend the runs for a while: a fault may strike at any instant."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            patiently(self.tend)
            time.sleep(LOOK_EVERY)

    def until(self, share: float) -> None:
        """Wait until this share of a run's messages has arrived at the fleet."""
        self.wait(lambda: self.arrived() >= share * self.each, f"{share:.0%} of a run to arrive")

    def until_busy(self) -> None:
        """Wait until somebody has something in their hands and there is more to do."""

        def busy() -> bool:
            claimed = (
                model._default_manager.filter(run__in=self.runs, state=WorkState.CLAIMED)
                for model in (Page, Parcel)
            )
            return any(rows.exists() for rows in claimed) and self.left() > self.each / 4

        self.wait(busy, "workers to have something in their hands")

    def fault(self, *, of: int | None = None) -> int:
        """Note what is held now, by the process `of` or by anybody; return how many pieces that is."""
        since = time.monotonic()
        before = len(self.held)
        for model in (Page, Parcel):
            rows = model._default_manager.filter(run__in=self.runs, state=WorkState.CLAIMED)
            if of is not None:
                rows = rows.filter(worker__contains=f":{of}:")
            found = rows.values_list("pk", "fence", "lease_until")
            self.held += [Held(model, *facts, since=since) for facts in found]
        self.held_at_faults.append(len(self.held) - before)
        self.left_at_faults.append(self.left())
        return self.held_at_faults[-1]

    def until_complete(self) -> None:
        """Let it end: no run follows, providers answer at once; wait until no message of any run waits."""
        self._more_to_come = False
        self._slow_providers(0)
        # progress is only complete once everybody is planned, and nobody is at the very beginning
        self.wait(lambda: all(self._is_complete(run) for run in self.runs), "the end")
        self.wait(lambda: not self.held, "all that lay about to be taken")

    # -- where it stands

    def arrived(self) -> int:
        """Return how many messages of all runs have arrived at the fleet."""
        for run in self.runs:
            if self._arrived.get(run.pk, 0) < self.each:
                counts = self.scene.fleet.arrived(run=str(run.uid))
                self._arrived[run.pk] = int(counts["total"]["distinct_messages"])
        return sum(self._arrived.values())

    def left(self) -> int:
        """Return how many messages of the runs have not arrived yet."""
        return self.each * len(self.runs) - self.arrived()

    def claimed_twice(self) -> int:
        """Count the pages and parcels that were claimed more than once."""
        return sum(
            model._default_manager.filter(run__in=self.runs, fence__gt=1).count() for model in (Page, Parcel)
        )

    def taken_by(self, member: psutil.Process) -> int:
        """Count the pages and parcels of the runs that a process claimed last."""
        return pieces(member, run__in=self.runs)

    def worked_since(self, instant: float) -> bool:
        """Return whether a page or parcel was closed since, or there is nothing left to do."""
        closed = (m._default_manager.filter(run__in=self.runs, closed_at__gt=instant) for m in (Page, Parcel))
        return any(rows.exists() for rows in closed) or all(self._is_complete(run) for run in self.runs)

    def on_sockets(self) -> int:
        """Return how many messages of the runs have arrived on WebSockets."""
        fleet = self.scene.fleet
        counts = [fleet.arrived(run=str(run.uid), provider="websocket")["websocket"] for run in self.runs]
        return sum(int(count["distinct_messages"]) for count in counts)

    def report(self, **more: Any) -> dict[str, Any]:
        """Return what the runs came to, all together."""
        outcomes = [self.scene.outcome(run) for run in self.runs]
        worst = max(self.recoveries, key=lambda one: one.own, default=Recovery(0.0, 0.0))
        return {
            "runs": len(self.runs),
            "faults": [fault for one in outcomes for fault in one["faults"]],
            **{
                name: sum(one[name] for one in outcomes)
                for name in ("audience", "people", "repeats", "two_notices", "in_flight")
            },
            "held_at_faults": self.held_at_faults,
            "left_at_faults": self.left_at_faults,
            "recovered_seconds": round(worst.seconds, 1),
            "waited_seconds": round(worst.waited, 1),
            **more,
        }

    def _is_complete(self, run: Run) -> bool:
        progress = runs.progress(run)
        return progress.complete and progress.audience > 0

    def _slow_providers(self, milliseconds: int) -> None:
        for provider in ("fcm", "apns"):
            self.scene.fleet.set_faults(provider, latency_ms=milliseconds)
