"""The clock: once a second it starts what is due, and makes good what nobody was told of.

Every job may be done by several clocks at once, or by none for a while: what is due stands in
the database, and who comes second finds it done.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from campaigns import alerting, delayed, experimenting, launching
from campaigns.intake import Sender, accept
from campaigns.models import Event, IdempotencyKey, Schedule
from campaigns.schedule import CrontabError, ZoneError, last_due, next_due
from delivery import alerts, bell, counting, dbclock, runs
from delivery.log.store import log_store
from devices import facts, importing

log = structlog.get_logger(__name__)

FORGET_EVERY = 600
"""Seconds between two rounds of forgetting; each lasts two ticks, in case one comes late."""


ALERT_EVERY = 5
"""Seconds between two looks for what needs a person."""
RECALL_EVERY = 5
"""Seconds between two looks for recalls of which the nodes were not told."""
DECIDE_EVERY = 300
"""Seconds between two looks at experiments that choose their winner by themselves."""


def tick(now: datetime) -> dict[str, int]:
    """Do what is due at `now` (aware); return how many of each there were.

    A job that fails is logged and the others are done all the same; it is due again at the next
    tick. Raises what the first failing job raised, when all are through: the caller may have to
    mend its database connection.
    """
    jobs: dict[str, Callable[[datetime], int]] = {
        "launched": launching.launch_due,
        "scheduled": send_scheduled,
        "released": delayed.release,
        "finished": lambda _: runs.finish_due(),
        "ended": lambda _: launching.end_finished(),
        "rung": ring_again,
        "alerted": alert,
        "imported": ring_imports,
    }
    if int(now.timestamp()) % RECALL_EVERY == 0:
        jobs["recalled"] = lambda _: runs.tell_recalls()
    if int(now.timestamp()) % FORGET_EVERY < 2:
        jobs["forgotten"] = forget
    done: dict[str, int] = {}
    failed: Exception | None = None
    for name, job in jobs.items():
        try:
            done[name] = job(now)
        except Exception as error:
            log.error("clock.job_failed", job=name, error=str(error), kind=type(error).__name__)
            failed = failed or error
    if failed is not None:
        raise failed
    return done


def send_scheduled(now: datetime) -> int:
    """Send the events of the schedules that are due; return how many were sent.

    An event's identity is its schedule and its due instant, so of several clocks one sends it. A
    schedule that was missed for long sends one event, for the most recent instant that was missed.
    """
    sent = 0
    due = Schedule.objects.filter(enabled=True).exclude(due_at__gt=now)
    for schedule in due.select_related("application", "event_type").order_by("due_at")[:500]:
        try:
            sent += _send(schedule, now)
        except (CrontabError, ZoneError) as error:
            log.error("schedule.unreadable", schedule=str(schedule.uid), error=str(error))
    return sent


def _send(schedule: Schedule, now: datetime) -> int:
    following = next_due(schedule.crontab, schedule.time_zone, now)
    with transaction.atomic():
        # the losing branch: another clock's UPDATE moved `due_at` on, and its transaction sends the event
        mine = Schedule.objects.filter(pk=schedule.pk, enabled=True, due_at=schedule.due_at).update(
            due_at=following
        )
        if not mine or schedule.due_at is None:
            return 0
        instant = max(last_due(schedule.crontab, schedule.time_zone, now), schedule.due_at)
        accepted = accept(schedule.application, [_event(schedule, instant)], Sender.clock())
    for rejected in accepted.rejected:
        log.error("schedule.rejected", schedule=str(schedule.uid), problem=rejected.problem.detail)
    return len(accepted.stored)


def _event(schedule: Schedule, instant: datetime) -> dict[str, object]:
    at = instant.isoformat().replace("+00:00", "Z")
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": at,
        "source": f"/schedules/{schedule.uid}",
        "type": schedule.event_type.name,
        "time": at,
        "data": schedule.data,
    }
    return {**event, "subject": schedule.subject} if schedule.subject else event


def ring_again(now: datetime) -> int:
    """Ring for events, pages and parcels that nobody has taken in time; return how many lanes were rung."""
    overdue = dbclock.now() - bell.OVERDUE
    waiting = Event.objects.filter(decided=False, received_at__lt=overdue, lease_until__lt=overdue)
    lanes = list(waiting.order_by().values_list("lane", flat=True).distinct())
    for lane in lanes:
        bell.ring("decide", lane)
    return len(lanes) + bell.ring_due()


def alert(now: datetime) -> int:
    """Every few seconds find what the staff is to be told of, and winners; ring for counting and for notes."""
    if counting.waiting(now.timestamp()):
        bell.ring("count", "bulk")
    changed = alerting.look(now) if int(now.timestamp()) % ALERT_EVERY == 0 else 0
    if int(now.timestamp()) % DECIDE_EVERY < 2:
        changed += experimenting.decide_due(now)
    if alerts.waiting(now.timestamp()):
        bell.ring("alert", "normal")
    return changed


def ring_imports(now: datetime) -> int:
    """Ring for imports of CSV files that wait for a worker; return 1 if there are any."""
    if not importing.is_due():
        return 0
    bell.ring("import", "bulk")
    return 1


def forget(now: datetime) -> int:
    """Forget what is past its time: log entries, facts, files of imports, and answers kept for a repeated request."""
    old = IdempotencyKey.objects.filter(created_at__lt=now - timedelta(days=settings.LOG_DAYS))
    forgotten = old.delete()[0] + log_store().forget(now.timestamp())
    return forgotten + facts.forget() + importing.forget() + delayed.forget(now.timestamp())
