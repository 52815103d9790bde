"""A time of each person's own clock: every zone in its turn, and what becomes of those where it is past."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.policy import Circumstances, plan
from delivery.policy.local_time import instant_in, latest, local_time
from delivery.snapshot import Policy
from tests.delivery.policy.facts import NOW, at, candidate, changes

LAUNCH = "2026-06-15T10:00:00+02:00"


@pytest.mark.parametrize(
    ("zone", "late", "told"),
    [
        ("America/New_York", "now", "2026-06-15T09:00:00-04:00"),
        ("Europe/London", "now", "2026-06-15T09:00:00+01:00"),
        ("Europe/Berlin", "now", LAUNCH),
        ("Asia/Tokyo", "now", LAUNCH),
        ("Europe/Berlin", "tomorrow", "2026-06-16T09:00:00+02:00"),
        ("Asia/Tokyo", "tomorrow", "2026-06-16T09:00:00+09:00"),
        ("Pacific/Honolulu", "tomorrow", "2026-06-15T09:00:00-10:00"),
    ],
)
def test_nine_oclock_comes_to_every_zone_in_its_turn(zone: str, late: str, told: str) -> None:
    policy = Policy(local_time="09:00", late=late)
    assert instant_in(zone, policy, "Europe/Berlin", at(LAUNCH)) == at(told)


def test_a_day_that_is_named_is_every_persons_own() -> None:
    policy = Policy(local_time="09:00", local_date="2026-12-24")
    assert instant_in("Asia/Tokyo", policy, "UTC", at(LAUNCH)) == at("2026-12-24T09:00:00+09:00")
    assert latest(policy, "UTC", at(LAUNCH)) >= at("2026-12-24T09:00:00-12:00")


def test_a_time_that_a_clock_change_skips_is_the_first_instant_after_the_gap() -> None:
    policy = Policy(local_time="02:30", local_date="2026-03-29")
    launch = at("2026-03-28T12:00:00+01:00")
    assert instant_in("Europe/Berlin", policy, "UTC", launch) == at("2026-03-29T03:00:00+02:00")
    twice = Policy(local_time="02:30", local_date="2026-10-25")
    assert instant_in("Europe/Berlin", twice, "UTC", launch) == at("2026-10-25T02:30:00+02:00")


def test_people_are_gathered_by_the_instants_of_their_zones() -> None:
    people = [
        candidate(number=n, zone=("Europe/London", "America/New_York", "Asia/Tokyo")[n % 3])
        for n in range(30)
    ]
    facts = Circumstances(
        now=at(LAUNCH), started=at(LAUNCH), policy=Policy(local_time="09:30"), zone="Europe/Berlin", ttl=3600
    )
    planned = plan(people, facts, (local_time,))
    assert {until: len(some) for until, some in planned.deferred.items()} == {
        at("2026-06-15T09:30:00+01:00"): 10,
        at("2026-06-15T09:30:00-04:00"): 10,
    }
    assert len(planned.passed) == 10
    [put_off, *_] = planned.deferred[at("2026-06-15T09:30:00-04:00")]
    assert put_off.named.expires_at == at("2026-06-15T10:30:00-04:00"), (
        "the time to live counts from their own time"
    )
    assert put_off.named.since == at(LAUNCH)


def test_what_is_not_told_at_its_own_time_expires_there() -> None:
    facts = Circumstances(now=at(LAUNCH), started=at(LAUNCH), policy=Policy(local_time="09:30"), ttl=3600)
    [[until, [put_off]]] = plan([candidate(zone="America/New_York")], facts).deferred.items()
    late = Circumstances(now=until + 3600, started=at(LAUNCH), policy=Policy(local_time="09:30"), ttl=3600)
    assert [drop.reason for _, drop in plan([put_off], late).dropped] == ["expired"]
    facts.now = until
    facts.seen.clear()
    assert plan([put_off], facts).passed


@settings(deadline=None)
@given(
    zone=st.sampled_from(sorted(available_timezones())),
    clock=st.times().map(lambda t: t.strftime("%H:%M")),
    late=st.sampled_from(["now", "tomorrow"]),
    since=st.floats(NOW - 3e7, NOW + 3e7),
)
def test_nobody_is_told_before_their_time_nor_later_than_the_last_zone(
    zone: str, clock: str, late: str, since: float
) -> None:
    policy = Policy(local_time=clock, late=late)
    told = instant_in(zone, policy, "Europe/Berlin", since)
    assert since <= told <= latest(policy, "Europe/Berlin", since)
    if told > since:
        wall = datetime.fromtimestamp(told, ZoneInfo(zone))
        before = datetime.fromtimestamp(told - 1, ZoneInfo(zone))
        skipped = wall.utcoffset() != before.utcoffset()
        assert wall.strftime("%H:%M") == clock or skipped


@settings(deadline=None)
@given(change=st.deferred(lambda: st.sampled_from(changes())), minutes=st.integers(-180, 180))
def test_on_days_when_clocks_change_it_is_told_that_day_once(
    change: tuple[str, datetime], minutes: int
) -> None:
    zone, instant = change
    wall = (instant.astimezone(ZoneInfo(zone)) + timedelta(minutes=minutes)).replace(tzinfo=None)
    policy = Policy(local_time=wall.strftime("%H:%M"), local_date=wall.date().isoformat())
    told = instant_in(zone, policy, "UTC", instant.timestamp() - 3 * 86_400)
    shown = datetime.fromtimestamp(told, ZoneInfo(zone)).replace(tzinfo=None)
    just_before = datetime.fromtimestamp(told - 60, ZoneInfo(zone)).replace(tzinfo=None)
    assert shown >= wall.replace(second=0, microsecond=0) > just_before
