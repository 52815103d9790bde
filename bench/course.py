"""A benchmark's work at one size, in a process with that size's settings: `python -m bench.course COURSE.json`.

Starts the fleet, makes the people, starts the hub, opens the WebSockets, and hands all of it to the benchmark's
module in `bench.courses`. What that has measured is written where the course says.
"""

import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bench import baseline

if TYPE_CHECKING:
    from bench.population import Population
    from bench.stand import Stand
    from fleet.client import Fleet

PATIENCE_TO_CONNECT = 180.0
"""Seconds in which another device must have connected, or been greeted."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and where.

    `bench` names the module of `bench.courses`, `servers` are process ids by name, `broker` is the environment in
    which Erlang's tools reach RabbitMQ, `profile` a folder for py-spy or empty. `limits`: frequency caps and quiet
    hours are on. `online` is how many WebSockets are opened at most (-1: all). What only one benchmark
    needs stands last.
    """

    bench: str
    size: str
    devices: int
    rounds: int
    out: str
    servers: dict[str, list[int]] = {}
    broker: dict[str, str] = {}
    profile: str = ""
    latency_ms: float = 0.0
    limits: bool = False
    online: int = -1
    program: str = ""
    settings: baseline.Settings = baseline.Settings()
    second: int = 0
    """Devices of a second application."""
    others: dict[str, str] = {}
    """Other senders by name: the Python of their virtual environment."""
    batch: int = 0
    """Events that a service sends at a time."""
    events: int = 0
    rate: float = 0.0
    """Critical events, and how many a second."""


class CourseError(Exception):
    """The course cannot be run to its end; says what stood in the way."""


def tell(text: str) -> None:
    """Write a line for people."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Field(NamedTuple):
    """What a course finds when it begins: a running hub at a stand, and its people."""

    stand: "Stand"
    people: "Population"
    second: "Population | None"
    populate_seconds: float


@contextmanager
def opened(course: Course) -> Iterator[Field]:
    """Yield a running hub with its people; as large a share of a second's WebSockets is open as of the first's."""
    from django.conf import settings

    from bench.population import populate
    from bench.stand import Stand
    from fleet.client import Fleet
    from notifyhub.demo import hub

    together = course.devices + course.second

    def share(devices: int) -> int | None:
        return None if course.online < 0 else course.online * devices // together

    with ExitStack() as stack:
        options = {"latency_ms": course.latency_ms} if course.latency_ms else {}
        fleet = stack.enter_context(Fleet.start(settings.FLEET_FILE.parent, within=60.0, **options))
        began = time.monotonic()
        people = populate(fleet, devices=course.devices, online=share(course.devices), limits=course.limits)
        other = None
        if course.second:
            other = populate(
                fleet,
                devices=course.second,
                online=share(course.second),
                limits=course.limits,
                slug="bench-second",
            )
        populate_seconds = round(time.monotonic() - began, 1)
        tell(f"{course.size}: {together:,} subscribers made in {populate_seconds:.1f} s")
        log = Path(course.out).with_name("hub.log")
        process = stack.enter_context(hub.running(log))
        hub.wait_until_ready(process, log, within=120.0)
        sockets = [*people.online, *(other.online if other else [])]
        seconds = _connect(fleet, sockets)
        tell(f"{course.size}: {len(sockets):,} WebSockets greeted in {seconds:.1f} s")
        yield Field(
            Stand(course, fleet, process.pid, connect_seconds=seconds), people, other, populate_seconds
        )
        fleet.stop()  # before the hub: thousands of sockets are closed faster from their side


def _connect(fleet: "Fleet", pairs: list[tuple[str, str]]) -> float:
    """Let the fleet's devices connect; return after how many seconds the hub had greeted all of them."""
    from notifyhub.demo import hub

    began = moved = time.monotonic()
    fleet.open_sockets(hub.address("ws") + "/ws/v1/", pairs)
    furthest = 0
    while (state := fleet.sockets())["hello"] < len(pairs):
        if (far := state["open"] + state["hello"]) > furthest:
            furthest, moved = far, time.monotonic()
        if time.monotonic() - moved > PATIENCE_TO_CONNECT:
            raise CourseError(
                f"{state['hello']:,} of {len(pairs):,} WebSockets were greeted, and for "
                f"{PATIENCE_TO_CONNECT:.0f} s nothing moved: {state}"
            )
        time.sleep(0.1)
    return round(time.monotonic() - began, 2)


def main(path: str) -> int:
    """Run the course of a file."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    import django

    import notifyhub  # noqa: F401  (prepares imports that apns2 needs)

    django.setup()
    from bench.feed import FeedError
    from bench.peers import PeerError
    from bench.servers import ServersError
    from bench.stand import StandError
    from delivery.credentials import MissingCredentialError
    from delivery.senders.contract import CredentialError
    from fleet.client import FleetError
    from notifyhub.demo.hub import HubError
    from notifyhub.demo.watch import WatchError

    known = (
        CourseError,
        StandError,
        ServersError,
        FeedError,
        FleetError,
        HubError,
        WatchError,
        PeerError,
        baseline.BaselineError,
    )
    course = msgspec.json.decode(Path(path).read_bytes(), type=Course)
    try:
        report = importlib.import_module(f"bench.courses.{course.bench}").drive(course)
    except (*known, CredentialError, MissingCredentialError) as error:
        tell(f"{course.size}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    Path(course.out).write_bytes(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    # by its own name: the benchmarks' modules import it too, and its errors must be one class
    sys.exit(importlib.import_module("bench.course").main(sys.argv[1]))
