"""A hub and a fleet that run, with meters on both: campaigns are launched here, and the rounds are measured."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench import baseline, meter
from bench.course import Course, Turn, tell
from bench.population import Population
from delivery import runs
from delivery.models import Run
from fleet.client import Fleet, FleetError
from notifyhub.demo import hub, stage, watch

PATIENCE = 300.0
"""Seconds that one run may take."""
PATIENCE_OF_FLEET = 60.0
"""Seconds after which the hub is asked why the fleet does not have everything."""
SETTLE = 1.0
"""Seconds after the last outcome that still count as ours: devices acknowledge, and nodes write that down."""
PROFILE_SECONDS = 10
PROFILED = ("rest", "web")


class Measured(msgspec.Struct, frozen=True):
    """A run and its CPU seconds: by part of the hub, by server, and the fleet's. Instants are epoch seconds."""

    run: Run
    launched_at: float
    completed_at: float
    ours: Mapping[str, float]
    servers: Mapping[str, float]
    fleet: float


class Stand:
    """Launches campaigns at a hub whose WebSockets stand."""

    def __init__(self, course: Course, fleet: Fleet, people: Population, supervisor: int) -> None:
        self._course = course
        self._fleet = fleet
        self._people = people
        self._supervisor = supervisor
        self._api = hub.Api(people.api_key)
        self._meters = {
            "hub": meter.Meter([supervisor], name=meter.role),
            "fleet": meter.Meter([fleet.pid], name=lambda _: "fleet"),
            "servers": meter.Meter(
                [pid for pids in course.servers.values() for pid in pids], name=lambda pid: self._server(pid)
            ),
        }
        self._server_names = self._name_servers()

    def warm_up(self) -> Run:
        """Launch a campaign to the warm segment, so that connections stand and templates are compiled."""
        people = self._people
        return self._campaign("Warm-up", expected=people.warm_count, segment=str(people.warm.uid)).run

    def turn(self, number: int, plan: Path) -> Turn:
        """Run one round and return what was measured."""
        course, fleet = self._course, self._fleet
        fleet.reset()
        profilers = self._profilers() if course.profile and number == 1 else []
        measured = self._campaign(f"Round {number}", expected=course.devices)
        for profiler in profilers:
            profiler.wait()
        counts = fleet.arrived(run=str(measured.run.uid))["total"]
        sent = baseline.run(Path(course.program), plan, course.settings)
        baseline_run = msgspec.json.decode(plan.read_bytes())["baseline_run"]
        turn = Turn(
            delivered=counts["distinct_messages"],
            outcomes=runs.progress(measured.run).outcomes,
            repeats=counts["repeats"],
            seconds=round((counts["last_at"] or 0) / 1000 - measured.launched_at, 3),
            all_seconds=round(measured.completed_at - measured.launched_at, 3),
            cpu=dict(measured.ours),
            server_cpu=dict(measured.servers),
            fleet_cpu=measured.fleet,
            baseline_delivered=fleet.arrived(run=baseline_run)["total"]["distinct_messages"],
            baseline=sent,
            faults=runs.balances(measured.run).faults,
        )
        tell(
            f"{course.size}, round {number}: {turn.delivered / turn.seconds:,.0f} devices/s, "
            f"{sum(turn.cpu.values()) / course.devices * 1e6:.0f} ms CPU per 1,000; baseline "
            f"{sent.sent / sent.seconds:,.0f}/s, {sent.cpu_seconds / max(sent.sent, 1) * 1e6:.0f} ms"
        )
        return turn

    def _campaign(self, name: str, *, expected: int, segment: str = "") -> Measured:
        """Make a campaign, launch it, and wait until every message has its outcome."""
        document = {"name": name, **stage.CAMPAIGN, **({"segment": segment} if segment else {})}
        campaign = self._api.post("campaigns/", document)
        before = self._read()
        launched_at = time.time()
        launched = self._api.post(f"campaigns/{campaign['id']}/launch/", {})
        run = Run.objects.get(uid=launched["run"])
        try:
            # The fleet says when it has everything, so that nothing asks the database meanwhile.
            self._fleet.wait(run=str(run.uid), at_least=expected, timeout=PATIENCE_OF_FLEET)
        except FleetError as error:
            tell(f"{self._course.size}, {name}: {error}; asking the hub")
        watch.until_complete(run, expected=expected, within=PATIENCE)
        completed_at = time.time()
        time.sleep(SETTLE)
        after = self._read()
        used = {name: meter.between(before[name], after[name]) for name in after}
        # The embedded Redis is the supervisor's child, and a server all the same.
        ours = {part: seconds for part, seconds in used["hub"].items() if part != meter.REDIS}
        redis = {part: seconds for part, seconds in used["hub"].items() if part == meter.REDIS}
        fleet = used["fleet"].get("fleet", 0.0)
        return Measured(run, launched_at, completed_at, ours, used["servers"] | redis, fleet)

    def _read(self) -> dict[str, dict[str, float]]:
        return {name: each.read() for name, each in self._meters.items()}

    def _name_servers(self) -> dict[int, str]:
        """Return the name of every process of a server: those that serve one connection come and go."""
        rows = meter.table()
        return {
            process.pid: name
            for name, pids in self._course.servers.items()
            for process in meter.tree(rows, pids)
        }

    def _server(self, pid: int) -> str:
        if pid not in self._server_names:
            self._server_names |= self._name_servers()
        return self._server_names.get(pid, "other")

    def _profilers(self) -> "list[subprocess.Popen[bytes]]":
        """Let py-spy look at the parts that work; only at threads that hold the GIL, and without stopping them."""
        spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--gil", "--nonblocking"]
        options = ["--duration", str(PROFILE_SECONDS), "--rate", "250", "--format", "raw"]
        started = []
        for process in meter.tree(meter.table(), [self._supervisor]):
            if (part := meter.role(process.pid)) in PROFILED:
                out = Path(self._course.profile) / f"{self._course.size}-{part}.raw"
                command = [*spy, *options, "--output", str(out), "--pid", str(process.pid)]
                started.append(
                    subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                )
        return started
