"""One size of the main benchmark, in a process with that size's settings: `python -m bench.course COURSE.json`.

Starts the fleet and the hub, opens the WebSockets, warms everything up, and then lets the hub and
the baseline take turns. What was measured is written where the course says.
"""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import baseline

if TYPE_CHECKING:
    from fleet.client import Fleet

SECONDS_TO_CONNECT = 120.0


class Course(msgspec.Struct, frozen=True):
    """What to run; `servers` are process ids by name, `profile` is a folder for py-spy or empty."""

    size: str
    devices: int
    rounds: int
    latency_ms: float
    program: str
    settings: baseline.Settings
    servers: dict[str, list[int]]
    out: str
    profile: str = ""


class Turn(msgspec.Struct, frozen=True):
    """One round: a campaign to everybody by us, then the same FCM and APNs messages by the baseline.

    `seconds` run from the launch's request to the fleet's last acceptance, `all_seconds` to the last
    outcome. CPU is in seconds, by part of the hub and by server; `fleet_cpu` is what the fleet used in our half.
    """

    delivered: int
    outcomes: dict[str, int]
    repeats: int
    seconds: float
    all_seconds: float
    cpu: dict[str, float]
    server_cpu: dict[str, float]
    fleet_cpu: float
    baseline_delivered: int
    baseline: baseline.Sent
    faults: list[str]


class Report(msgspec.Struct, frozen=True):
    """What a course came to."""

    size: str
    devices: int
    by_provider: dict[str, int]
    connect_seconds: float
    turns: list[Turn]


class CourseError(Exception):
    """The course cannot be run to its end; says what stood in the way."""


def tell(text: str) -> None:
    """Write a line for people."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(course: Course) -> Report:
    """Run a course and return its report."""
    from django.conf import settings

    from bench.messages import write_plan
    from bench.population import populate
    from bench.stand import Stand
    from fleet.client import Fleet
    from notifyhub.demo import hub

    folder = Path(course.out).parent
    with ExitStack() as stack:
        options = {"latency_ms": course.latency_ms} if course.latency_ms else {}
        fleet = stack.enter_context(Fleet.start(settings.FLEET_FILE.parent, **options))
        began = time.monotonic()
        people = populate(fleet, devices=course.devices)
        tell(f"{course.size}: {course.devices:,} subscribers made in {time.monotonic() - began:.1f} s")
        log = folder / "hub.log"
        process = stack.enter_context(hub.running(log))
        hub.wait_until_ready(process, log)
        connect_seconds = _connect(fleet, people.sockets)
        tell(f"{course.size}: {len(people.sockets):,} WebSockets greeted in {connect_seconds:.1f} s")
        stand = Stand(course, fleet, people, process.pid)
        plan = write_plan(stand.warm_up(), folder)
        turns = [stand.turn(number, plan) for number in range(1, course.rounds + 1)]
        fleet.stop()  # before the hub: thousands of sockets are closed faster from their side
    return Report(course.size, course.devices, people.counts, connect_seconds, turns)


def _connect(fleet: "Fleet", pairs: list[tuple[str, str]]) -> float:
    """Let the fleet's devices connect; return after how many seconds the hub had greeted all of them."""
    from notifyhub.demo import hub

    began = time.monotonic()
    fleet.open_sockets(hub.address("ws") + "/ws/v1/", pairs)
    while (state := fleet.sockets())["hello"] < len(pairs):
        if time.monotonic() - began > SECONDS_TO_CONNECT:
            raise CourseError(f"only {state['hello']:,} of {len(pairs):,} WebSockets were greeted: {state}")
        time.sleep(0.1)
    return round(time.monotonic() - began, 2)


def main(path: str) -> int:
    """Run the course of a file."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    import django

    import notifyhub  # noqa: F401  (prepares imports that apns2 needs)

    django.setup()
    from delivery.credentials import MissingCredentialError
    from delivery.senders.contract import CredentialError
    from fleet.client import FleetError
    from notifyhub.demo.hub import HubError
    from notifyhub.demo.watch import WatchError

    known = (CourseError, FleetError, HubError, WatchError, baseline.BaselineError)
    course = msgspec.json.decode(Path(path).read_bytes(), type=Course)
    try:
        report = run(course)
    except (*known, CredentialError, MissingCredentialError) as error:
        tell(f"{course.size}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    Path(course.out).write_bytes(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
