"""A hub and a fleet that run, with meters on both: campaigns are launched here, and what they cost is measured."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench import meter
from bench.course import Course, tell
from bench.population import Population
from bench.profiling import Profilers
from delivery import runs
from delivery.models import Run
from fleet.client import Fleet, FleetError
from notifyhub.demo import hub, stage, watch

PATIENCE = 60.0
"""Seconds in which another message must have arrived."""
PATIENCE_OF_HUB = 300.0
"""Seconds that the hub's own count may take to be complete after the fleet's is, or stands still."""
SETTLE = 1.0
"""Seconds after the last outcome that still count as ours: devices acknowledge, and nodes write that down."""


class StandError(Exception):
    """What was to be measured did not come to its end; says what stood in the way."""


class Used(msgspec.Struct):
    """CPU seconds, filled in at the end of `Stand.metered`: by part of the hub, by server, and the fleet's.

    `elsewhere` is the share of the machine's CPU that programs had which have nothing to do with this.
    """

    ours: Mapping[str, float] = {}
    servers: Mapping[str, float] = {}
    fleet: float = 0.0
    elsewhere: float = 0.0


class Measured(msgspec.Struct, frozen=True):
    """A run, what it used, and its instants (epoch seconds)."""

    run: Run
    launched_at: float
    completed_at: float
    used: Used


class Stand:
    """Launches campaigns at a hub whose WebSockets stand."""

    def __init__(self, course: Course, fleet: Fleet, supervisor: int, *, connect_seconds: float) -> None:
        self.course = course
        self.fleet = fleet
        self.supervisor = supervisor
        self.connect_seconds = connect_seconds
        self._meters = {
            "hub": meter.Meter([supervisor], name=meter.role),
            "fleet": meter.Meter([fleet.pid], name=lambda _: "fleet"),
            "servers": meter.Meter(
                [pid for pids in course.servers.values() for pid in pids], name=lambda pid: self._server(pid)
            ),
        }
        self._server_names = self._name_servers()

    def warm_up(self, people: Population) -> Run:
        """Launch a campaign to the warm segment, so that connections stand and templates are compiled."""
        return self.campaign(
            people, "Warm-up", expected=people.warm_reachable, segment=str(people.warm.uid)
        ).run

    def campaign(
        self, people: Population, name: str, *, expected: int, segment: str = "", lane: str = "normal"
    ) -> Measured:
        """Make a campaign, launch it, and wait until `expected` messages have arrived and all have their outcome."""
        campaign = self.prepare(people, name, segment=segment, lane=lane)
        with self.metered() as used:
            launched_at = time.time()
            run = self.launch(people, campaign)
            # The fleet says when it has everything, so that nothing asks the database meanwhile.
            if not self.arrive(run, expected):
                tell(f"{self.course.size}, {name}: not everything arrived; asking the hub")
            watch.until_complete(run, expected=expected, within=PATIENCE_OF_HUB)
            completed_at = time.time()
        return Measured(run, launched_at, completed_at, used)

    def prepare(self, people: Population, name: str, *, segment: str = "", lane: str = "normal") -> str:
        """Make a campaign and return its id."""
        document: dict[str, Any] = {**stage.CAMPAIGN, "name": name, "lane": lane}
        if segment:
            document["segment"] = segment
        if people.category:
            document["category"] = people.category
        return str(hub.Api(people.api_key).post("campaigns/", document)["id"])

    def launch(self, people: Population, campaign: str) -> Run:
        """Launch a campaign and return its run."""
        launched = hub.Api(people.api_key).post(f"campaigns/{campaign}/launch/", {})
        return Run.objects.get(uid=launched["run"])

    def arrive(self, run: Run | None, expected: int) -> bool:
        """Wait until so many messages of a run (None: all) have arrived; return False when no more of them come."""
        have, uid = 0, None if run is None else str(run.uid)
        while have < expected:
            # the fleet wakes us at the end, or when it is time to see whether anything has moved
            step = min(expected, have + max(1_000, expected // 4))
            try:
                have = self.fleet.wait(run=uid, at_least=step, timeout=PATIENCE)
            except FleetError:
                now = self.fleet.arrived(run=uid)["total"]["distinct_messages"]
                if now == have:
                    return False
                have = now
        return True

    @contextmanager
    def metered(self) -> Iterator[Used]:
        """Yield what is filled in at the end with the CPU used meanwhile, and in `SETTLE` seconds more."""
        used = Used()
        before, began, busy = self._read(), time.monotonic(), meter.busy() - time.process_time()
        yield used
        time.sleep(SETTLE)
        after = self._read()
        busy = meter.busy() - time.process_time() - busy
        had = (time.monotonic() - began) * (os.cpu_count() or 1)
        by_tree = {name: meter.between(before[name], after[name]) for name in after}
        # The embedded Redis is the supervisor's child, and a server all the same.
        redis = {part: seconds for part, seconds in by_tree["hub"].items() if part == meter.REDIS}
        used.ours = {part: seconds for part, seconds in by_tree["hub"].items() if part != meter.REDIS}
        used.servers = by_tree["servers"] | redis
        used.fleet = by_tree["fleet"].get("fleet", 0.0)
        mine = sum(sum(seconds.values()) for seconds in by_tree.values())
        used.elsewhere = round(max(0.0, busy - mine) / had, 3)

    @contextmanager
    def profiled(self, name: str, *, wanted: bool = True) -> Iterator[None]:
        """Let py-spy look at every process of ours meanwhile, if that is wanted and the course has a folder for it."""
        if not wanted or not self.course.profile:
            yield
            return
        title = f"{self.course.size}-{name.lower().replace(' ', '-')}"
        with Profilers(self.supervisor, Path(self.course.profile), title):
            yield

    def faults(self, run: Run) -> list[str]:
        """Return what does not balance in a run, a sentence each."""
        return runs.balances(run).faults

    def _read(self) -> dict[str, dict[str, float]]:
        return {name: each.read() for name, each in self._meters.items()}

    def _name_servers(self) -> dict[int, str]:
        """Return the name of every process of a server: those that serve one connection come and go."""
        rows = meter.table()
        return {
            process.pid: name
            for name, pids in self.course.servers.items()
            for process in meter.tree(rows, pids)
        }

    def _server(self, pid: int) -> str:
        if pid not in self._server_names:
            self._server_names |= self._name_servers()
        return self._server_names.get(pid, "other")
