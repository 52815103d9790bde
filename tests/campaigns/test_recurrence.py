"""Recurring campaigns in words and as crontabs, over the days on which clocks change."""

from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import recurrence
from campaigns.recurrence import DAYS, Repeat, RepeatError
from devices.wall_time import placed

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "America/Santiago", "UTC")
times = st.times().map(lambda at: at.replace(second=0, microsecond=0, tzinfo=None))
repeats = st.one_of(
    st.just(Repeat()),
    st.builds(
        lambda kind, at: Repeat(kind, at), st.sampled_from([recurrence.DAILY, recurrence.WEEKDAYS]), times
    ),
    st.builds(
        lambda at, days: Repeat(recurrence.WEEKLY, at, tuple(day for day in DAYS if day in days)),
        times,
        st.sets(st.sampled_from(DAYS), min_size=1),
    ),
    st.builds(lambda at, day: Repeat(recurrence.MONTHLY, at, day=day), times, st.integers(1, 31)),
)
instants = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  (hypothesis adds the zone)


@given(repeats)
def test_what_a_form_says_is_read_back_from_its_crontab(repeat: Repeat) -> None:
    assert recurrence.from_crontab(recurrence.to_crontab(repeat)) == repeat


@pytest.mark.parametrize(
    "crontab", ["*/20 9 * * *", "0 9 * 3 *", "0 9 1 * mon", "0 9,18 * * *", "0 9 * * 1-5"]
)
def test_what_no_form_says_stays_a_crontab(crontab: str) -> None:
    repeat = recurrence.from_crontab(crontab)
    assert (repeat.kind, recurrence.to_crontab(repeat)) == (recurrence.CRONTAB, crontab)


@given(times, st.sampled_from(ZONES), instants)
def test_every_day_comes_once_at_the_wall_time_wherever_that_exists(
    at: time, zone: str, after: datetime
) -> None:
    place = ZoneInfo(zone)
    crontab = recurrence.to_crontab(Repeat(recurrence.DAILY, at))
    coming = list(islice(recurrence.occurrences(crontab, zone, after=after), 20))
    assert all(first < second for first, second in pairwise(coming)) and coming[0] > after
    days = [instant.astimezone(place).date() for instant in coming]
    for day, instant in zip(days, coming, strict=True):
        assert (
            instant == placed(datetime.combine(day, at), place)
            or placed(datetime.combine(day - timedelta(days=1), at), place) == instant
        )
    assert len(set(days)) >= 19  # only where a whole hour at midnight is skipped may two meet


@given(st.sampled_from(ZONES), instants)
def test_a_clock_change_is_where_the_offset_changes(zone: str, after: datetime) -> None:
    place = ZoneInfo(zone)
    for change, before, later in recurrence.clock_changes(
        zone, after=after, until=after + timedelta(days=366)
    ):
        assert (change - timedelta(seconds=2)).astimezone(place).utcoffset() == before != later
        assert (change + timedelta(seconds=1)).astimezone(place).utcoffset() == later


def test_it_is_said_what_happens_when_the_clocks_change() -> None:
    year = {"after": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2026, 12, 31, tzinfo=UTC)}
    spring, autumn = recurrence.oddities("30 2 * * *", "Europe/Berlin", **year)
    assert "29 March 2026" in spring and "02:30 does not exist: it comes at 03:00, once" in spring
    assert "25 October 2026" in autumn and "comes twice: it is told the first time only" in autumn
    still, _ = recurrence.oddities("0 9 * * mon-fri", "Europe/Berlin", **year)
    assert "it still comes at 09:00 of the wall clock" in still
    assert recurrence.oddities("0 9 * * *", "Asia/Tokyo", **year) == []


def test_what_was_said_of_a_clock_change_is_what_happens() -> None:
    at = datetime(2026, 3, 28, 12, tzinfo=UTC)
    first = next(recurrence.occurrences("30 2 * * *", "Europe/Berlin", after=at))
    assert f"{first.astimezone(ZoneInfo('Europe/Berlin')):%d %H:%M}" == "29 03:00"


@pytest.mark.parametrize(
    ("repeat", "said"),
    [
        (Repeat(recurrence.WEEKLY), "at least one day"),
        (Repeat(recurrence.MONTHLY, day=32), "1 to 31"),
        (Repeat(recurrence.CRONTAB, crontab="61 * * * *"), "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(repeat: Repeat, said: str) -> None:
    with pytest.raises(RepeatError, match=said):
        recurrence.to_crontab(repeat)


def test_nobody_is_told_every_few_minutes() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    recurrence.check_pace("*/15 * * * *", "UTC", after=now)
    with pytest.raises(RepeatError, match="more often"):
        recurrence.check_pace("0,5 9 * * *", "UTC", after=now)


def test_words_for_people() -> None:
    assert recurrence.sentence("0 9 * * mon-fri", "Europe/Berlin") == (
        "Every weekday (Monday to Friday) at 09:00 in Europe/Berlin."
    )
    assert recurrence.sentence("5 18 * * tue,sat", "UTC") == "Every Tuesday and Saturday at 18:05 in UTC."
    assert "Months without that day are left out" in recurrence.sentence("0 9 31 * *", "UTC")
