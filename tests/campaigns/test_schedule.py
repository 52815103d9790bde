"""Crontabs in wall time: what is skipped runs once after the gap, what comes twice runs once."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.schedule import CrontabError, ZoneError, last_due, next_due, validate_crontab

BERLIN = "Europe/Berlin"


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("crontab", "reason"),
    [
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("61 * * * *", "cannot be read"),
        ("a b c d e", "cannot be read"),
        ("*/0 * * * *", "cannot be read"),
        ("H H * * *", "cannot be read"),
        ("0 0 30 2 *", "never comes"),
        ("", "five fields"),
    ],
)
def test_a_crontab_that_cannot_be_is_refused_with_a_reason(crontab: str, reason: str) -> None:
    with pytest.raises(CrontabError, match=reason):
        validate_crontab(crontab)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ZoneError, match="Mars"):
        next_due("0 9 * * *", "Mars/Olympus", _utc(2026, 1, 1))


def test_it_is_wall_time_that_is_kept_over_a_clock_change() -> None:
    assert next_due("0 9 * * *", BERLIN, _utc(2026, 3, 28, 0)) == _utc(2026, 3, 28, 8)
    assert next_due("0 9 * * *", BERLIN, _utc(2026, 3, 28, 8)) == _utc(2026, 3, 29, 7)


def test_a_skipped_time_runs_once_right_after_the_gap() -> None:
    """2026-03-29 02:30 does not exist in Berlin: clocks go from 02:00 to 03:00, which is 01:00 UTC."""
    due = next_due("30 2 * * *", BERLIN, _utc(2026, 3, 28, 12))
    assert due == _utc(2026, 3, 29, 1)
    assert next_due("30 2 * * *", BERLIN, due) == _utc(2026, 3, 30, 0, 30)
    assert next_due("*/10 2 * * *", BERLIN, due) == _utc(2026, 3, 30, 0, 0)


def test_a_doubled_time_runs_once_the_first_time() -> None:
    """2026-10-25 02:30 occurs twice in Berlin: at 00:30 and 01:30 UTC."""
    due = next_due("30 2 * * *", BERLIN, _utc(2026, 10, 24, 12))
    assert due == _utc(2026, 10, 25, 0, 30)
    assert next_due("30 2 * * *", BERLIN, due) == _utc(2026, 10, 26, 1, 30)


def test_a_gap_at_midnight_and_a_day_that_never_was_are_passed() -> None:
    # Cairo: 2026-04-24 00:00 is skipped to 01:00; Samoa left out the whole of 2011-12-30
    assert next_due("0 0 * * *", "Africa/Cairo", _utc(2026, 4, 23, 12)) == _utc(2026, 4, 23, 22)
    assert next_due("0 12 30 12 *", "Pacific/Apia", _utc(2011, 12, 28)) == _utc(2011, 12, 30, 10)


def test_after_a_long_absence_only_the_most_recent_instant_counts() -> None:
    assert last_due("0 9 * * mon-fri", "UTC", _utc(2026, 11, 22, 12)) == _utc(2026, 11, 20, 9)
    assert last_due("*/10 * * * *", BERLIN, _utc(2026, 10, 25, 1, 15)) == _utc(2026, 10, 25, 0, 50)


ZONES = st.sampled_from(
    [
        BERLIN,
        "UTC",
        "America/New_York",
        "America/Sao_Paulo",
        "Africa/Cairo",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "America/Havana",
        "Asia/Tehran",
        "Europe/Dublin",
        "Africa/Casablanca",
    ]
)
MINUTES = st.sampled_from(["0", "30", "*/10", "*", "5,55"])
HOURS = st.sampled_from(["*", "0", "1", "2", "3", "1-3", "*/6", "23"])
WEEKDAYS = st.sampled_from(["*", "sun", "mon-fri"])
CRONTABS = st.builds(lambda minute, hour, weekday: f"{minute} {hour} * * {weekday}", MINUTES, HOURS, WEEKDAYS)
INSTANTS = st.datetimes(datetime(2010, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=100, deadline=None)
@given(CRONTABS, ZONES, INSTANTS)
def test_instants_go_on_and_none_is_left_out(crontab: str, zone: str, after: datetime) -> None:
    first = next_due(crontab, zone, after)
    second = next_due(crontab, zone, first)
    assert after < first < second
    assert last_due(crontab, zone, first) == first
    assert last_due(crontab, zone, second - timedelta(microseconds=1)) == first
    assert next_due(crontab, zone, second - timedelta(microseconds=1)) == second


@settings(max_examples=100, deadline=None)
@given(MINUTES, HOURS, ZONES, INSTANTS)
def test_a_due_instant_is_a_wall_time_of_the_crontab_or_the_end_of_a_gap(
    minute: str, hour: str, zone: str, after: datetime
) -> None:
    due = next_due(f"{minute} {hour} * * *", zone, after)
    local = due.astimezone(ZoneInfo(zone))
    before = (due - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    after_gap = local.replace(tzinfo=None) - before.replace(tzinfo=None) > timedelta(seconds=1)
    assert after_gap or (_fits(minute, local.minute) and _fits(hour, local.hour) and local.fold == 0)


@settings(max_examples=12, deadline=None)
@given(ZONES, st.dates(datetime(2015, 1, 1).date(), datetime(2036, 1, 1).date()), st.integers(0, 23))  # noqa: DTZ001
def test_a_daily_crontab_is_due_once_for_every_day_of_a_year(zone: str, day: object, hour: int) -> None:
    at = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    crontab, end, count = f"30 {hour} * * *", at + timedelta(days=365), 0
    at = next_due(crontab, zone, at)
    while at <= end:
        count += 1
        at = next_due(crontab, zone, at)
    assert 364 <= count <= 366


def _fits(field: str, value: int) -> bool:
    if field == "*":
        return True
    if field.startswith("*/"):
        return value % int(field[2:]) == 0
    if "-" in field:
        low, high = map(int, field.split("-"))
        return low <= value <= high
    return str(value) in field.split(",")
