"""Dramas in which workers and clocks are killed, doubled or restarted in the middle of campaigns to everybody."""

import random
import signal
import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

import psutil
from celery import current_app
from django.utils import timezone

from campaigns.models import Event, EventType, Schedule
from delivery import lanes
from delivery.models import Run, WorkState
from devices.models import Provider
from notifyhub import parts
from notifyhub.demo import stage
from tests.pipeline.course import LATENCY_MS, Course, patiently, pieces
from tests.pipeline.crew import Crew
from tests.pipeline.dramas import Theatre

SEED = 4
VICTIMS = (parts.REST, parts.REST, parts.CLOCK, parts.REST, parts.URGENT, parts.REST)
"""Whose turn it is to be killed; which of their processes, and when, is drawn."""
SCHEDULES = 20


def kills(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Kill workers and clocks at random instants through a run, again and again."""
    chance = random.Random(SEED)
    course = Course(scene)
    for number, role in enumerate(VICTIMS):
        course.until((number + chance.random()) / (len(VICTIMS) + 2))
        victim = (
            _one_at_work(course, crew, chance) if role == parts.REST else chance.choice(crew.members(role))
        )
        victim.kill()
        course.fault(of=victim.pid)
        # on a busy machine it dies slowly, and would be taken for somebody who can be killed at work
        course.wait(partial(crew.has_ended, victim), "the killed to be gone")
        crew.members(role)  # who is ours is started again
    course.until_complete()
    return course.report(killed=VICTIMS)


def _one_at_work(course: Course, crew: Crew, chance: random.Random) -> psutil.Process:
    """Return a worker that has something in its hands, where another one is at work that can take it over."""
    while True:
        victim = chance.choice(_two_at_work(course, crew))
        course.wait(partial(_holds, victim), "the worker to have something in its hands")
        course.tend_for(chance.uniform(0.0, LATENCY_MS / 1000))
        if _holds(victim):
            return victim


def _two_at_work(course: Course, crew: Crew) -> list[psutil.Process]:
    """Wait until two workers have worked for the runs since they were started; return them."""
    found: list[psutil.Process] = []

    def are_there() -> bool:
        found[:] = [member for member in crew.members(parts.REST) if course.taken_by(member)]
        return len(found) > 1

    course.wait(are_there, "two workers at work")
    return found


def _holds(member: psutil.Process) -> int:
    return patiently(lambda: pieces(member, state=WorkState.CLAIMED))


def rolling_restart(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """End every worker and clock by SIGTERM, one after the other, under load: nothing is called twice."""
    course = Course(scene)
    course.until(0.1)
    seconds = []
    for role in (parts.REST, parts.URGENT, parts.CLOCK):
        for member in crew.members(role):
            if role == parts.REST:
                _two_at_work(course, crew)
                course.wait(partial(_holds, member), "the worker to have something in its hands")
            asked = time.monotonic()
            member.send_signal(signal.SIGTERM)
            course.fault(of=member.pid)
            course.wait(partial(crew.has_ended, member), f"{role} to end")
            seconds.append(time.monotonic() - asked)
            crew.members(role)  # who is ours is started again
    course.until_complete()
    return course.report(
        restarted=len(seconds), slowest_end=round(max(seconds), 1), claimed_twice=course.claimed_twice()
    )


def three_clocks(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Let a launch and twenty schedules fall due in one second, with three clocks at once."""
    application = scene.set_up.application
    clocks = len(crew.members(parts.CLOCK))
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
    sources = [f"/schedules/{schedule.uid}" for schedule in schedules]
    launched = Run.objects.filter(origin__startswith=f"campaign:{campaign['id']}:")
    events = Event.objects.filter(application=application, source__in=sources)
    give_up = time.monotonic() + 60
    while not (launched.exists() and events.count() >= SCHEDULES):
        if time.monotonic() > give_up:
            raise TimeoutError(f"{launched.count()} runs, {events.count()} events of {SCHEDULES} schedules")
        time.sleep(0.05)
    run = launched.earliest("created_at")
    course = Course(scene, run)
    course.until_complete()
    # by now every clock has ticked again
    Schedule.objects.filter(pk__in=[schedule.pk for schedule in schedules]).update(enabled=False)
    return course.report(
        clocks=clocks,
        launches=launched.count(),
        early=run.created_at < due,
        late_seconds=round((run.created_at - due).total_seconds(), 1),
        schedules=SCHEDULES,
        events=events.count(),
        claimed_twice=course.claimed_twice(),
    )


def same_bell_twice(scene: Theatre, crew: Crew) -> dict[str, Any]:
    """Deliver every bell twice at once, to two workers, until both have worked through whole runs."""
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
    course = Course(scene)
    ringer.start()
    try:
        course.wait(lambda: all(course.taken_by(worker) for worker in workers), "both workers to have worked")
        course.until(1.0)
        course.until_complete()
    finally:
        stop.set()
        ringer.join()
    return course.report(
        bells=rung,
        taken_by_worker=[course.taken_by(worker) for worker in workers],
        claimed_twice=course.claimed_twice(),
    )
