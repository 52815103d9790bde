"""Dramas of faults on one hub: processes and servers die in the middle of a campaign to everybody.

Each returns a report: both balances, what phones show, how often a provider was called again, and how
long work lay about. The servers belong to the test's process, which stops and starts them when asked.
"""

import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import psutil
import redis
from celery import current_app
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone

from campaigns.models import Event, EventType, Schedule
from delivery import lanes, runs
from delivery.models import Page, Parcel, Run, WorkState
from devices.models import Device, Provider
from notifyhub import parts
from notifyhub.demo import hub, stage
from tests.pipeline.crew import Crew
from tests.pipeline.dramas import Theatre

SEED = 4
KILLS = 6
AWAY_SECONDS = 20.0
SCHEDULES = 20
COMPLETE_SECONDS = 90.0
SLOWEST_RATE = 200.0
"""A run may take `COMPLETE_SECONDS`, or what it needs at this many messages a second: a tenth of what is usual."""

Answer = TypeVar("Answer")


def ask(server: str, verb: str) -> None:
    """Have the test's process stop or start a server; return when it has."""
    print(json.dumps({"ask": [server, verb]}), flush=True)
    if sys.stdin.readline().strip() != "done":
        raise RuntimeError(f"nobody is there to {verb} {server}")


def patiently(read: Callable[[], Answer], *, within: float = 30.0) -> Answer:
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
            time.sleep(0.1)


@dataclass(frozen=True)
class Held:
    """A page or parcel that was in somebody's hands when these were cut off."""

    model: type[Page] | type[Parcel]
    pk: int
    fence: int
    since: float

    def is_held(self) -> bool:
        """Return whether nobody else has it by now, and its holder has not closed it."""
        mine = self.model._default_manager.filter(pk=self.pk, fence=self.fence, state=WorkState.CLAIMED)
        return mine.exists()


class Course:
    """A run on its way, the faults it meets and how long each took to mend."""

    def __init__(self, scene: Theatre, run: Run) -> None:
        self.scene, self.run = scene, run
        told = Device.objects.filter(application=scene.set_up.application, subscriber__consent=True)
        self.sockets = told.filter(uid__in=[uid for _, uid in scene.set_up.sockets]).count()
        self.expected = told.exclude(provider=Provider.SOCKET).count() + self.sockets
        self.within = max(COMPLETE_SECONDS, self.expected / SLOWEST_RATE)
        self.held: list[Held] = []
        self.held_at_faults: list[int] = []
        self.taken_over: list[float] = []
        self.left_at_faults: list[int] = []

    def look(self) -> None:
        """Note which of the work that lay about is in other hands now."""
        for piece in list(self.held):
            if not piece.is_held():
                self.held.remove(piece)
                self.taken_over.append(time.monotonic() - piece.since)

    def look_for(self, seconds: float) -> None:
        """Look on for some seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            time.sleep(0.1)

    def until(self, share: float) -> None:
        """Wait until this share of the messages has arrived at the fleet."""
        self.wait(lambda: self.arrived() >= share * self.expected, f"{share:.0%} to arrive", self.within)

    def until_complete(self) -> None:
        """Wait until everybody is planned and no message waits."""

        def complete() -> bool:
            progress = runs.progress(self.run)
            return progress.complete and progress.audience > 0

        self.wait(complete, "the run's end", self.within)
        self.look()

    def arrived(self) -> int:
        return int(self.scene.fleet.arrived(run=str(self.run.uid))["total"]["distinct_messages"])

    def fault(self, *, of: int | None = None) -> None:
        """Note what is held now, by the process `of` or by anybody, and what the run has still before it."""
        since = time.monotonic()
        before = len(self.held)
        for model in (Page, Parcel):
            rows = model._default_manager.filter(run=self.run, state=WorkState.CLAIMED)
            if of is not None:
                rows = rows.filter(worker__contains=f":{of}:")
            self.held += [Held(model, pk, fence, since) for pk, fence in rows.values_list("pk", "fence")]
        self.held_at_faults.append(len(self.held) - before)
        self.left_at_faults.append(self.expected - self.arrived())

    def report(self, **more: Any) -> dict[str, Any]:
        return {
            **self.scene.outcome(self.run),
            "held_at_faults": self.held_at_faults,
            "left_at_faults": self.left_at_faults,
            "taken_over_seconds": round(max(self.taken_over, default=0.0), 1),
            **more,
        }

    def wait(self, ready: Callable[[], bool], what: str, within: float) -> None:
        deadline = time.monotonic() + within
        while not patiently(ready):
            patiently(self.look)
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {within:g} s for {what}: {runs.progress(self.run)}")
            time.sleep(0.1)


def _slow_providers(scene: Theatre, *, latency_ms: int) -> None:
    """Let a run take long enough for something to happen in the middle of it."""
    for provider in ("fcm", "apns"):
        scene.fleet.set_faults(provider, latency_ms=latency_ms)


def kills(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Kill workers and clocks at random, again and again."""
    chance = random.Random(SEED)
    _slow_providers(scene, latency_ms=300)
    course = Course(scene, scene.launch())
    killed: list[str] = []
    for number in range(KILLS):
        course.until(0.05 + 0.8 * number / KILLS)
        # three of four kills meet a worker of the run's lane; the others a clock or the urgent lanes' worker
        role = chance.choice((parts.REST, parts.REST, parts.REST, chance.choice((parts.CLOCK, parts.URGENT))))
        if role == parts.REST:
            # What a worker held can be taken over by one that is there: so both must have worked for this run.
            course.wait(lambda: _at_work(crew, course.run) > 1, "two workers at work", 30.0)
        victim = max(crew.members(role), key=lambda member: _pieces(member, state=WorkState.CLAIMED))
        course.look_for(chance.uniform(0.0, 2.0))
        victim.send_signal(signal.SIGKILL)
        killed.append(role)
        course.fault(of=victim.pid)
        crew.members(role)  # who is ours is started again
    course.until_complete()
    return course.report(killed=killed)


def _at_work(crew: Crew, run: Run) -> int:
    """Count the workers that have worked for a run."""
    return sum(_pieces(member, run=run) > 0 for member in crew.members(parts.REST))


def _pieces(member: psutil.Process, **which: Any) -> int:
    """Count the pages and parcels that a process claimed last."""
    mine = {"worker__contains": f":{member.pid}:", **which}
    return sum(model._default_manager.filter(**mine).count() for model in (Page, Parcel))


def broker_away(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Kill RabbitMQ in the middle of a run and leave it away for twenty seconds; events are taken all the while."""
    _slow_providers(scene, latency_ms=300)
    course = Course(scene, scene.launch())
    course.until(0.2)
    ask("rabbitmq", "kill")
    course.fault()
    away_until = time.monotonic() + AWAY_SECONDS
    answered = []
    while time.monotonic() < away_until:
        began = time.monotonic()
        _ring_the_door(scene)
        answered.append(time.monotonic() - began)
        course.look()
        time.sleep(0.5)
    ask("rabbitmq", "start")
    back, back_at = time.monotonic(), time.time()
    # the clocks are woken by nothing but themselves: from here on everything is the hub's own doing
    course.wait(lambda: not Event.objects.filter(decided=False).exists(), "the events' decisions", 60.0)
    decided = time.monotonic() - back
    course.wait(lambda: _worked_since(course.run, back_at), "work to go on", 60.0)
    course_goes_on = time.monotonic() - back
    course.until_complete()
    return course.report(
        events=len(answered),
        slowest_answer=round(max(answered), 3),
        recovered_seconds=round(max(decided, course_goes_on), 1),
        events_open=Event.objects.filter(decided=False).count(),
    )


def _worked_since(run: Run, instant: float) -> bool:
    """Whether a page or parcel was closed since, or there is nothing left to do."""
    closed = any(m._default_manager.filter(run=run, closed_at__gt=instant).exists() for m in (Page, Parcel))
    return closed or runs.progress(run).complete


def _ring_the_door(scene: Theatre) -> None:
    external_id, _ = scene.set_up.caller
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/drama/door",
        "type": stage.DOOR_BELL,
        "subject": external_id,
        "datacontenttype": "application/json",
        "data": {"door": "front"},
    }
    scene.api.post("events", event, content_type="application/cloudevents+json")


def memory_lost(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Flush Redis in the middle of a run, and restart it a little later: every socket gets its entry all the same."""
    _slow_providers(scene, latency_ms=300)
    course = Course(scene, scene.launch())
    course.until(0.15)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()
    course.fault()
    flushed = time.monotonic()
    course.wait(lambda: _presences() >= len(scene.set_up.sockets), "presence after the flush", 60.0)
    after_flush = time.monotonic() - flushed
    course.until(0.4)
    ask("redis", "restart")
    restarted = time.monotonic()
    course.fault()
    course.wait(lambda: _presences() >= len(scene.set_up.sockets), "presence after the restart", 60.0)
    after_restart = time.monotonic() - restarted
    course.until_complete()
    completed = time.monotonic()
    course.wait(lambda: _on_sockets(course) >= course.sockets, "every socket to have its entry", 60.0)
    return course.report(
        recovered_seconds=round(max(after_flush, after_restart), 1),
        sockets=course.sockets,
        on_sockets=_on_sockets(course),
        caught_up_seconds=round(time.monotonic() - completed, 1),
    )


def _presences() -> int:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return sum(1 for _ in client.scan_iter(b"nh:p:*", count=5_000))


def _on_sockets(course: Course) -> int:
    counts = course.scene.fleet.arrived(run=str(course.run.uid), provider="websocket")
    return int(counts["websocket"]["distinct_messages"])


def three_clocks(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Let a launch and twenty schedules fall due in one second, with three clocks at once."""
    application = scene.set_up.application
    due = timezone.now() + timedelta(seconds=3)
    campaign = scene.api.post(
        "campaigns", {"name": f"Drama {time.time()}", "send_at": due.isoformat(), **stage.CAMPAIGN}
    )
    scene.api.post(f"campaigns/{campaign['id']}/launch", {})
    event_type, _ = EventType.objects.get_or_create(
        application=application, name=f"{stage.DOOR_BELL}.clock", defaults={"senders": ["clock"]}
    )
    schedules = [
        Schedule.objects.create(
            application=application,
            name=f"Schedule {number} of {due}",
            event_type=event_type,
            crontab="0 0 1 1 *",
            subject=scene.set_up.caller[0],
            due_at=due,
        )
        for number in range(SCHEDULES)
    ]
    clocks = len(crew.members(parts.CLOCK))
    while not (run := Run.objects.filter(origin__startswith=f"campaign:{campaign['id']}:").first()):
        if timezone.now() > due + timedelta(seconds=20):
            raise TimeoutError("no clock launched the campaign")
        time.sleep(0.05)
    late = (timezone.now() - due).total_seconds()
    course = Course(scene, run)
    course.until_complete()
    Schedule.objects.filter(pk__in=[schedule.pk for schedule in schedules]).update(enabled=False)
    sources = [f"/schedules/{schedule.uid}" for schedule in schedules]
    return course.report(
        clocks=clocks,
        late_seconds=round(late, 1),
        runs=Run.objects.filter(origin=run.origin).count(),
        schedules=len(sources),
        events=Event.objects.filter(application=application, source__in=sources).count(),
    )


def same_bell_twice(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Deliver every bell twice at once, to two workers, through a whole run."""
    _slow_providers(scene, latency_ms=20)
    workers = crew.members(parts.REST)
    rung = 0
    stop = threading.Event()

    def ring() -> None:
        nonlocal rung
        with current_app.connection_for_write() as connection:
            producer = connection.Producer()
            while not stop.wait(0.02):
                for bell in ("plan", *Provider.values):
                    name = "delivery.plan" if bell == "plan" else "delivery.send"
                    args = ["normal"] if bell == "plan" else [bell, "normal"]
                    for _ in range(2):
                        queue = lanes.queue(bell, "normal")
                        current_app.send_task(
                            name, args=args, queue=queue, producer=producer, ignore_result=True
                        )
                        rung += 1

    ringer = threading.Thread(target=ring, name="ringer")
    course = Course(scene, scene.launch())
    ringer.start()
    try:
        course.until_complete()
    finally:
        stop.set()
        ringer.join()
    took = [_pieces(worker, run=course.run) for worker in workers]
    return course.report(bells=rung, taken_by_worker=took, taken_over=_taken_over(course.run))


def _taken_over(run: Run) -> int:
    """Count the pages and parcels that were claimed more than once."""
    return sum(m._default_manager.filter(run=run, fence__gt=1).count() for m in (Page, Parcel))


def database_away(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Restart PostgreSQL in the middle of a run, later kill it; a request in between is refused, not lost."""
    _slow_providers(scene, latency_ms=300)
    course = Course(scene, scene.launch())
    course.until(0.2)
    course.fault()
    ask("postgres", "restart")
    course.until(0.5)
    course.fault()
    ask("postgres", "kill")
    refusal = ""
    try:
        _ring_the_door(scene)
    except hub.HubError as error:
        refusal = str(error)
    ask("postgres", "start")
    _patiently_ready()
    _ring_the_door(scene)
    course.until_complete()
    return course.report(refusal=refusal)


def _patiently_ready() -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            hub._open(hub.address() + "/-/health/ready", timeout=3).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def rolling_restart(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """End every worker and clock by SIGTERM, one after the other, under load: nothing is called twice."""
    _slow_providers(scene, latency_ms=300)
    course = Course(scene, scene.launch())
    course.until(0.1)
    seconds, held = [], 0
    for member in crew.members(parts.REST, parts.URGENT, parts.CLOCK):
        held += _pieces(member, run=course.run, state=WorkState.CLAIMED)
        seconds.append(crew.retire(member, within=30))
        crew.members()
    left = course.expected - course.arrived()
    course.until_complete()
    return course.report(
        restarted=len(seconds),
        slowest_end=round(max(seconds), 1),
        held_at_term=held,
        left_at_end=left,
        taken_over=_taken_over(course.run),
    )


@contextmanager
def _timed(report: dict[str, Any]) -> Iterator[None]:
    began = time.monotonic()
    yield
    report["seconds"] = round(time.monotonic() - began, 1)


DRAMAS: dict[str, Callable[[Theatre, Crew], dict[str, Any]]] = {
    play.__name__: play
    for play in (
        kills,
        broker_away,
        memory_lost,
        three_clocks,
        same_bell_twice,
        database_away,
        rolling_restart,
    )
}


def play(name: str, scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Play one drama on a hub that works without faults at its beginning and end."""
    report: dict[str, Any] = {}
    with _timed(report):
        try:
            report |= DRAMAS[name](scene, crew)
        finally:
            scene.fleet.clear_faults()
    return report
