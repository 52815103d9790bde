"""The clock starts what is due once, however many clocks there are and however long it was off."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns import clock
from campaigns.intake import Sender, accept
from campaigns.models import Event, EventType, IdempotencyKey, Schedule
from devices.models import ApiKey, Application

MONDAY = datetime(2026, 11, 23, 8, 0, 30, tzinfo=UTC)


@pytest.fixture
def daily(application: Application) -> Schedule:
    kind = EventType.objects.create(application=application, name="com.shop.daily", senders=["clock"])
    return Schedule.objects.create(
        application=application,
        name="Daily",
        event_type=kind,
        crontab="0 9 * * *",
        time_zone="Europe/Berlin",
        subject="anna",
        data={"greeting": "morning"},
        due_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
    )


def test_a_due_schedule_sends_its_event(daily: Schedule) -> None:
    assert clock.send_scheduled(MONDAY) == 1
    event = Event.objects.get()
    daily.refresh_from_db()
    assert (event.type, event.sender, event.subject) == ("com.shop.daily", "clock", "anna")
    assert (event.source, event.event_id) == (f"/schedules/{daily.uid}", "2026-11-23T08:00:00Z")
    assert event.time == datetime(2026, 11, 23, 8, tzinfo=UTC) and event.data == {"greeting": "morning"}
    assert daily.due_at == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert clock.send_scheduled(MONDAY) == 0


def test_several_clocks_send_one_event(daily: Schedule) -> None:
    first, second = (Schedule.objects.select_related("application", "event_type").get() for _ in range(2))
    assert clock._send(first, MONDAY) + clock._send(second, MONDAY) == 1
    Schedule.objects.update(due_at=first.due_at)  # as if the two had read before either wrote
    assert clock.send_scheduled(MONDAY) == 0
    assert Event.objects.count() == 1


def test_a_clock_that_was_off_sends_the_most_recent_event_only(daily: Schedule) -> None:
    assert clock.send_scheduled(MONDAY + timedelta(days=30)) == 1
    assert Event.objects.get().event_id == "2026-12-23T08:00:00Z"


def test_a_new_schedule_begins_with_its_next_instant(daily: Schedule) -> None:
    Schedule.objects.update(due_at=None)
    assert clock.send_scheduled(MONDAY) == 0
    assert Schedule.objects.get().due_at == datetime(2026, 11, 24, 8, tzinfo=UTC)


def test_a_changed_or_reenabled_schedule_does_not_send_what_was_missed(daily: Schedule) -> None:
    daily.enabled = False
    daily.save()
    assert clock.send_scheduled(MONDAY) == 0
    daily.enabled = True
    daily.save()
    assert daily.due_at is None
    assert clock.send_scheduled(MONDAY + timedelta(days=30)) == 0


def test_a_schedule_that_is_refused_goes_on(daily: Schedule, application: Application) -> None:
    EventType.objects.update(senders=["keys"])
    assert clock.send_scheduled(MONDAY) == 0
    assert Schedule.objects.get().due_at == datetime(2026, 11, 24, 8, tzinfo=UTC)


def test_an_unreadable_schedule_does_not_stop_the_others(daily: Schedule, application: Application) -> None:
    Schedule.objects.create(
        application=application,
        name="Broken",
        event_type=daily.event_type,
        crontab="x",
        due_at=MONDAY - timedelta(1),
    )
    assert clock.send_scheduled(MONDAY) == 1


def test_events_that_nobody_took_are_rung_for_again(
    application: Application, key: ApiKey, shipped: EventType, event: Any, rings: list[tuple[str, str]]
) -> None:
    accept(application, [event()], Sender.key(key))
    assert clock.ring_again(MONDAY) == 0
    Event.objects.update(received_at=time.time() - 5)
    assert clock.ring_again(MONDAY) == 1
    assert rings[-1] == ("decide", "high")


def test_old_answers_are_forgotten(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    class Store:
        def forget(self, now: float) -> int:
            return 3

    monkeypatch.setattr(clock, "log_store", Store)
    for age in (1, 31):
        made = MONDAY - timedelta(days=age)
        IdempotencyKey.objects.create(application=application, key=str(age), digest="x", created_at=made)
    assert clock.forget(MONDAY) == 4
    assert IdempotencyKey.objects.get().key == "1"


@pytest.mark.django_db
def test_a_job_that_fails_keeps_none_of_the_others_from_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def fail(now: datetime) -> int:
        raise OSError("no database")

    monkeypatch.setattr(clock.launching, "launch_due", fail)
    monkeypatch.setattr(clock, "send_scheduled", lambda now: done.append("scheduled") or 0)
    monkeypatch.setattr(clock, "ring_again", lambda now: done.append("rung") or 0)
    with pytest.raises(OSError, match="no database"):
        clock.tick(MONDAY)
    assert done == ["scheduled", "rung"]


@pytest.mark.server
def test_the_command_survives_a_missing_database_and_ends_at_once(tmp_path: Any) -> None:
    environment = {**os.environ, "NOTIFYHUB_DATA_DIR": str(tmp_path), "NOTIFYHUB_LOG_LEVEL": "INFO"}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "clock"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if sum("clock.tick_failed" in one for one in seen) == 2:  # there are no tables
                break
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
        assert time.monotonic() - begun < 2
        assert "clock.stopped" in process.stdout.read()
    finally:
        process.kill()
        process.communicate()
