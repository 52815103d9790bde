"""Quiet hours on ordinary days and on those when clocks change, against a count minute by minute."""

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.policy import Circumstances, Defer, plan
from delivery.policy.quiet_hours import Hours, hours_at, quiet_hours
from devices.quiet_hours import QuietHoursError, parse
from tests.delivery.policy.facts import at, candidate, changes, target

WINDOWS = [
    "22:00-08:00",
    "02:10-02:40",
    "01:30-02:30",
    "00:00-23:59",
    "23:30-00:30",
    "09:00-17:00",
    "02:30-01:30",
]


class Clock:
    """A zone's clock minute by minute for nine days: the slow way that needs no rules."""

    def __init__(self, zone: str, middle: datetime) -> None:
        place = ZoneInfo(zone)
        start = middle.replace(second=0, microsecond=0) - timedelta(days=5)
        self.instants = [start + timedelta(minutes=minute) for minute in range(10 * 1440)]
        self.walls = [instant.astimezone(place).replace(tzinfo=None) for instant in self.instants]
        self.latest = list(accumulate(self.walls, max))

    def first(self, day: date, wall: time) -> datetime | None:
        """Return the first instant at which the clock shows a wall time or a later one, None off the end."""
        wanted = datetime.combine(day, wall)
        if self.walls[0] > wanted:
            return None
        place = bisect_left(self.latest, wanted)
        return self.instants[place] if place < len(self.instants) else None

    def quiet(self, text: str) -> list[tuple[datetime, datetime]]:
        hours = parse(text)
        assert hours is not None
        begin, end = hours
        found = []
        for day in sorted({wall.date() for wall in self.walls}):
            first = self.first(day, begin)
            last = self.first(day if begin < end else day + timedelta(days=1), end)
            if first and last and first < last:
                found.append((first, last))
        return found


def seen_from(hours: list[tuple[datetime, datetime]], now: datetime) -> tuple[datetime | None, datetime]:
    opens, reached = None, now
    for first, last in hours:
        if first <= reached < last:
            opens = reached = last
    return opens, next(first for first, _ in hours if first > reached)


def test_every_change_of_every_clock_is_kept_to_the_minute() -> None:
    seen = set()
    for zone, change in changes():
        rule = (change, ZoneInfo(zone).utcoffset(change.replace(tzinfo=None)))
        if rule in seen:
            continue  # a zone of the same rules
        seen.add(rule)
        clock = Clock(zone, change)
        for text in ("22:00-08:00", "02:10-02:40", "00:10-02:30", "23:30-00:30"):
            quiet = clock.quiet(text)
            for minutes in (-1500, -240, -61, -1, 0, 1, 29, 31, 59, 61, 240, 1500):
                now = change + timedelta(minutes=minutes)
                opens, closes = seen_from(quiet, now)
                found = hours_at(zone, text, int(now.timestamp()) // 60)
                assert found == Hours(opens and opens.timestamp(), closes.timestamp()), (zone, text, now)
    assert len(seen) > 50


@settings(deadline=None)
@given(
    change=st.deferred(lambda: st.sampled_from(changes())),
    text=st.sampled_from(WINDOWS),
    minutes=st.integers(-2_000, 2_000),
)
def test_any_minute_around_a_change_is_seen_as_a_clock_would_show_it(
    change: tuple[str, datetime], text: str, minutes: int
) -> None:
    zone, instant = change
    now = instant + timedelta(minutes=minutes)
    opens, closes = seen_from(Clock(zone, instant).quiet(text), now)
    assert hours_at(zone, text, int(now.timestamp()) // 60) == Hours(
        opens and opens.timestamp(), closes.timestamp()
    )


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-06-15T21:59:59+02:00", None),
        ("2026-06-15T22:00:00+02:00", "2026-06-16T08:00:00+02:00"),
        ("2026-06-16T07:59:59+02:00", "2026-06-16T08:00:00+02:00"),
        ("2026-06-16T08:00:00+02:00", None),
        # 02:00 to 03:00 does not exist on 29 March, and comes twice on 25 October
        ("2026-03-29T01:00:00+01:00", "2026-03-29T08:00:00+02:00"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T08:00:00+01:00"),
    ],
)
def test_the_night_in_berlin_ends_at_eight(now: str, opens: str | None) -> None:
    who = candidate(zone="Europe/Berlin", quiet="22:00-08:00")
    planned = plan([who], Circumstances(now=at(now)), (quiet_hours,))
    assert list(planned.deferred) == ([at(opens)] if opens else [])


def test_an_end_that_is_skipped_is_the_first_instant_after_the_gap() -> None:
    who = candidate(zone="Europe/Berlin", quiet="22:00-02:30")
    planned = plan([who], Circumstances(now=at("2026-03-29T00:00:00+01:00")), (quiet_hours,))
    assert list(planned.deferred) == [at("2026-03-29T03:00:00+02:00")]


def test_an_end_that_comes_twice_is_the_first() -> None:
    who = candidate(zone="Europe/Berlin", quiet="22:00-02:30")
    for now, until in [
        ("2026-10-25T00:00:00+02:00", ["2026-10-25T02:30:00+02:00"]),
        ("2026-10-25T02:10:00+01:00", []),
    ]:
        planned = plan([who], Circumstances(now=at(now)), (quiet_hours,))
        assert list(planned.deferred) == [at(one) for one in until]


def test_the_newest_device_that_knows_its_zone_says_whose_night_it_is() -> None:
    noon = at("2026-06-15T12:00:00+00:00")
    devices = [target("Europe/Berlin", 1), target("Asia/Tokyo", 2), target("", 3)]
    everywhere = Circumstances(now=noon, zone="America/Los_Angeles", quiet="20:30-22:00")
    for who, held in [
        (candidate(devices=devices, zone="Europe/Berlin"), True),
        (candidate(devices=devices[:1], zone="Asia/Tokyo"), False),
        (candidate(zone="Asia/Tokyo"), True),
        (candidate(), False),
    ]:
        verdicts = quiet_hours([who], everywhere)
        assert verdicts is not None and isinstance(verdicts[0], Defer) == held


def test_a_person_may_have_hours_of_their_own_or_none() -> None:
    night = Circumstances(now=at("2026-06-15T23:00:00+00:00"), quiet="22:00-08:00")
    people = [candidate(number=1), candidate(number=2, quiet="off"), candidate(number=3, quiet="01:00-09:00")]
    planned = plan(people, night, (quiet_hours,))
    assert [who.person.id for who in planned.passed] == [2, 3]
    assert planned.waits == {"quiet_hours": 1}


def test_who_overrides_is_not_held() -> None:
    night = Circumstances(now=at("2026-06-15T23:00:00+00:00"), quiet="22:00-08:00", overriding=True)
    assert plan([candidate()], night, (quiet_hours,)).passed


@pytest.mark.parametrize("text", ["22-8", "22:00", "24:00-08:00", "22:00-08:60", "08:00-08:00", "on"])
def test_what_names_no_hours_is_refused(text: str) -> None:
    with pytest.raises(QuietHoursError):
        parse(text)


def test_a_zone_that_is_unknown_by_now_is_utc() -> None:
    noon = int(datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()) // 60
    assert hours_at("Mars/Olympus", "11:00-13:00", noon) == hours_at("UTC", "11:00-13:00", noon)
