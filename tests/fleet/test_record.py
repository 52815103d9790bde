"""The record counts every arrival once and knows what each phone shows."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from fleet.record import Record
from fleet.tallies import Tally


class Clock:
    """A clock that moves one second with every look."""

    now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def record() -> Record:
    return Record(clock=Clock())


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def test_totals_are_by_run_provider_and_device(record):
    first, second = ids(2)
    record.accept("fcm", 1, run="a", notification=first)
    record.accept("fcm", 2, run="a", notification=first)
    record.accept("apns", 3, run="b", notification=second)
    assert record.totals().distinct_messages == 3
    assert record.totals(run="a").devices == 2
    assert record.totals(run="a", provider="apns") == Tally()
    assert record.totals(run="never came") == Tally()
    assert record.totals(devices=[1, 3]).accepted == 2
    assert record.totals(devices=[1, 3], run="b").devices == 1


def test_the_same_notification_again_is_a_repeat_of_one_message(record):
    (one,) = ids(1)
    assert record.accept("fcm", 1, run="a", notification=one, identity=one)
    assert not record.accept("fcm", 1, run="a", notification=one, identity=one)
    expected = Tally(
        accepted=2,
        distinct_messages=1,
        devices=1,
        repeats=1,
        replaced=1,
        first_at=1001_000,
        last_at=1002_000,
    )
    assert record.totals(run="a") == expected
    assert record.totals(run="a", devices=[1]) == expected


def test_the_same_identity_replaces_on_screen(record):
    first, second = ids(2)
    record.accept("fcm", 1, notification=first, identity="score", title="1:0", body="x")
    record.accept("fcm", 1, notification=second, identity="score", title="2:0", body="y")
    gone, shown = record.of_device(1)
    assert (gone.shown, shown.shown) == (False, True)
    assert (shown.identity, shown.title, shown.body, shown.replaced) == ("score", "2:0", "y", 1)


def test_a_correction_with_the_first_ones_identity_replaces_it(record):
    first, second = ids(2)
    record.accept("apns", 1, notification=first, identity=first, title="wrong")
    record.accept("apns", 1, notification=second, identity=first, title="right")
    assert [one.title for one in record.of_device(1) if one.shown] == ["right"]
    record.accept("apns", 1, notification=first, identity=first, title="wrong again")
    assert [one.title for one in record.of_device(1) if one.shown] == ["wrong again"]


def test_the_same_identity_on_another_phone_replaces_nothing(record):
    first, second = ids(2)
    record.accept("fcm", 1, notification=first, identity="score")
    record.accept("fcm", 2, notification=second, identity="score")
    assert record.totals().replaced == 0


def test_without_an_identity_every_notice_is_its_own(record):
    record.accept("fcm", 1, title="one")
    record.accept("fcm", 1, title="two")
    assert [one.title for one in record.of_device(1) if one.shown] == ["one", "two"]


def test_ids_that_are_no_uuid_are_kept_as_they_are(record):
    for notification in ("order-17", "ABCDEF00-0000-0000-0000-000000000000", "ü" * 40):
        record.accept("fcm", 1, notification=notification)
    assert [one.notification for one in record.of_device(1)] == [
        "order-17",
        "ABCDEF00-0000-0000-0000-000000000000",
        "ü" * 40,
    ]


def test_a_recalled_run_leaves_the_screen_of_that_device(record):
    first, second = ids(2)
    record.accept("websocket", 1, run="a", notification=first, identity=first)
    record.accept("websocket", 1, run="b", notification=second, identity=second)
    assert record.take_down(1, "a") == 1
    assert [one.run for one in record.of_device(1) if one.shown] == ["b"]


def test_arrivals_are_read_page_by_page_in_order(record):
    wanted = ids(5)
    for number, notification in enumerate(wanted):
        record.accept("fcm", number, run="a" if number % 2 else "b", notification=notification)
    first, after = record.since(0, limit=3)
    rest, end = record.since(after, limit=3)
    assert [one.notification for one in first + rest] == wanted
    assert record.since(end) == ([], end)
    assert [one.notification for one in record.since(0, run="a")[0]] == [wanted[1], wanted[3]]


def test_instants_are_those_of_first_arrival_by_run(record):
    first, second, other = ids(3)
    record.accept("fcm", 1, run="a", notification=first)
    record.accept("apns", 2, run="a", notification=second)
    record.accept("fcm", 1, run="a", notification=first)
    record.accept("fcm", 3, run="b", notification=other)
    assert record.instants("a") == ([(first, 1001_000), (second, 1002_000)], 2)
    assert record.instants("a", after=1, limit=1) == ([(second, 1002_000)], 2)
    assert record.instants("a", after=2) == ([], 2)
    assert record.instants("never came") == ([], 0)


def test_ages_are_known_of_messages_that_carry_their_events_time(record):
    for number, notification in enumerate(ids(3)):
        record.accept("fcm", number, run="a", notification=notification, event_at=1000_000)
    record.accept("fcm", 9, run="b", notification="no time")
    assert record.ages("a") == record.ages(None) == [1000, 2000, 3000]
    assert record.ages("b") == record.ages("never came") == []


def test_a_device_in_two_runs_is_one_device(record):
    record.accept("fcm", 1, run="a", notification="x")
    assert record.totals().devices == 1
    record.accept("fcm", 1, run="b", notification="y")
    record.accept("fcm", 2, run="b", notification="y")
    assert (record.totals().devices, record.totals(run="b").devices) == (2, 2)
    assert record.totals().devices == 2


def test_what_is_too_much_is_counted_and_not_kept(record, monkeypatch):
    monkeypatch.setattr("fleet.record.MOST_MESSAGES", 1)
    first, second = ids(2)
    record.accept("fcm", 1, notification=first)
    record.accept("fcm", 1, notification=second)
    record.accept("fcm", 1, notification=first)
    assert (len(record), record.unrecorded, record.totals().accepted) == (1, 1, 2)


def test_a_repeat_without_a_notice_leaves_the_screen_alone(record):
    record.accept("apns", 1, notification="a", identity="a", title="shown")
    record.accept("apns", 1, notification="a", visible=False)
    (one,) = record.of_device(1)
    assert (one.shown, one.title, one.times) == (True, "shown", 2)


def test_forgetting_leaves_nothing(record):
    (one,) = ids(1)
    record.accept("fcm", 1, notification=one, identity=one)
    record.forget()
    assert (len(record), record.totals(), record.of_device(1)) == (0, Tally(), [])
    assert record.accept("fcm", 1, notification=one, identity=one)


def test_who_waits_is_woken_by_the_last_one_missing(record):
    async def story() -> None:
        waiting = asyncio.create_task(
            record.tallies.wait(lambda: record.distinct(run="a", provider=None), at_least=2, timeout=5)
        )
        await asyncio.sleep(0)
        first, second = ids(2)
        for notification in (first, first, first):
            record.accept("fcm", 1, run="a", notification=notification)
            await asyncio.sleep(0)
        assert not waiting.done()
        record.accept("fcm", 1, run="a", notification=second)
        assert await waiting

    asyncio.run(story())


def test_waiting_ends_in_time(record):
    assert not asyncio.run(record.tallies.wait(lambda: 0, at_least=1, timeout=0.01))
