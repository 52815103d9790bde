"""Dramas in which RabbitMQ, Redis, PostgreSQL or a node of Cassandra goes away in the middle of campaigns.

The servers belong to the test's process, which stops and starts them when asked.
"""

import json
import statistics
import sys
import time
from typing import Any
from uuid import uuid4

import redis
from django.conf import settings

from campaigns.models import Event
from notifyhub.demo import hub, stage
from tests.pipeline.course import Course
from tests.pipeline.crew import Crew
from tests.pipeline.dramas import Theatre
from tests.pipeline.recovery import Watch

AWAY_SECONDS = 20.0


def ask(server: str, verb: str) -> None:
    """Have the test's process stop or start a server; return when it has."""
    print(json.dumps({"ask": [server, verb]}), flush=True)
    if sys.stdin.readline().strip() != "done":
        raise RuntimeError(f"nobody is there to {verb} {server}")


def broker_away(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Kill RabbitMQ in the middle of a run and leave it away for twenty seconds; events are taken all the while."""
    course = Course(scene)
    course.until(0.2)
    before = [_ring_the_door(scene) for _ in range(5)]
    course.until_busy()
    ask("rabbitmq", "kill")
    course.fault()
    away_until = time.monotonic() + AWAY_SECONDS
    answers = []
    while time.monotonic() < away_until:
        answers.append(_ring_the_door(scene))
        course.tend_for(0.5)
    ask("rabbitmq", "start")
    watch, back_at = Watch(), time.time()
    # the clocks are woken by nothing but themselves: from here on everything is the hub's own doing
    course.wait(lambda: not Event.objects.filter(decided=False).exists(), "the events' decisions")
    course.wait(lambda: course.worked_since(back_at), "work to go on")
    course.recoveries.append(watch.stop())
    course.until_complete()
    return course.report(
        events=len(answers),
        events_open=Event.objects.filter(decided=False).count(),
        usual_answer=round(statistics.median(before), 3),
        middle_answer=round(statistics.median(answers), 3),
        slowest_answer=round(max(answers), 3),
    )


def _ring_the_door(scene: Theatre) -> float:
    """Send an event; return the seconds until it was answered."""
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
    began = time.monotonic()
    scene.api.post("events", event, content_type="application/cloudevents+json")
    return time.monotonic() - began


def memory_lost(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Flush Redis in the middle of a run, and restart it a little later: every socket gets its entries all the same."""
    course = Course(scene)
    sockets = len(scene.set_up.sockets)
    for share, forget in ((0.15, _flush), (0.4, lambda: ask("redis", "restart"))):
        course.until(share)
        course.until_busy()
        forget()
        course.fault()
        watch = Watch()
        course.wait(lambda: _presences() >= sockets, "every socket's presence")
        course.recoveries.append(watch.stop())
    course.until_complete()
    expected = course.sockets * len(course.runs)
    course.wait(lambda: course.on_sockets() >= expected, "every socket to have its entries")
    return course.report(sockets=expected, on_sockets=course.on_sockets())


def _flush() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()


def _presences() -> int:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return sum(1 for _ in client.scan_iter(b"nh:p:*", count=5_000))


def database_away(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Restart PostgreSQL in the middle of a run, later kill it; a request in between is refused, not lost."""
    course = Course(scene)
    course.until(0.2)
    course.until_busy()
    course.fault()
    ask("postgres", "restart")
    _until_work_goes_on(course)
    course.until(0.5)
    course.until_busy()
    course.fault()
    ask("postgres", "kill")
    refusal = ""
    try:
        _ring_the_door(scene)
    except hub.HubError as error:
        refusal = str(error)
    ask("postgres", "start")
    _until_work_goes_on(course)
    _ring_the_door(scene)
    course.until_complete()
    return course.report(refusal=refusal)


def _until_work_goes_on(course: Course) -> None:
    """Wait until the hub is ready and something is closed that was not before, and note how long that took."""
    watch, back_at = Watch(), time.time()
    course.wait(lambda: _is_ready() and course.worked_since(back_at), "work to go on")
    course.recoveries.append(watch.stop())


def _is_ready() -> bool:
    try:
        hub._open(hub.address() + "/-/health/ready", timeout=3).close()
    except OSError:
        return False
    return True


def log_node_killed(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Kill one of three nodes of Cassandra in the middle of a run, and start it again: the run goes on all the time."""
    course = Course(scene)
    course.until(0.2)
    course.until_busy()
    ask("cassandra", "kill_node")
    course.fault()
    watch, killed_at = Watch(), time.time()
    course.wait(lambda: course.worked_since(killed_at), "work to go on without the node")
    course.recoveries.append(watch.stop())
    arrived = course.arrived()
    course.wait(lambda: course.arrived() >= arrived + course.each / 2, "half a run without the node")
    # while the node starts nobody looks at what lies about
    course.wait(lambda: not course.held, "all that lay about to be taken")
    ask("cassandra", "start_node")
    back_at = time.time()
    course.wait(lambda: course.worked_since(back_at), "work to go on with the node")
    course.until_complete()
    return course.report()
