"""Stage six: nobody is told in their quiet hours; they are told when those end.

Quiet hours lie between two placed wall times of a day (`devices.wall_time`): a beginning or end
that a clock change skips is the first instant after the gap, one that occurs twice the first.
What is asked again and again, a zone's hours at a minute, is remembered: offsets are whole
minutes, so within a minute nothing changes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from delivery.policy.verdicts import Candidate, Circumstances, Defer, Verdict, zone_of
from devices.person import Person
from devices.quiet_hours import OFF, QuietHoursError, parse
from devices.wall_time import placed, zone_or


class Hours(NamedTuple):
    """Quiet hours seen from a minute: their end if they are on (else None), and their next beginning."""

    opens: float | None
    closes: float


@lru_cache(maxsize=32_768)
def hours_at(zone: str, text: str, minute: int) -> Hours | None:
    """Return how quiet hours (as `22:00-08:00`) stand at a minute (of the epoch) in a zone, None for none."""
    try:
        hours = parse(text)
    except QuietHoursError:
        hours = None  # what was stored is checked; a value from elsewhere holds nobody back
    if hours is None:
        return None
    place = zone_or(zone)
    now = datetime.fromtimestamp(minute * 60, UTC)
    begin, end = hours
    today = now.astimezone(place).date()
    quiet = []
    for days in range(-3, 5):
        day = today + timedelta(days=days)
        until = day if begin < end else day + timedelta(days=1)
        first, last = (
            placed(datetime.combine(day, begin), place),
            placed(datetime.combine(until, end), place),
        )
        if first < last:
            quiet.append((first, last))
    opens = None
    at = now
    for first, last in quiet:
        # in order; one day's end may meet the next day's beginning where a clock change skips what lies between
        if first <= at < last:
            opens = at = last
    closes = next(first for first, _ in quiet if first > at)
    return Hours(None if opens is None else opens.timestamp(), closes.timestamp())


def hours_of(person: Person, circumstances: Circumstances) -> Hours | None:
    """Return how a person's quiet hours, else the application's, stand now; None for none, or overridden."""
    text = person.quiet_hours or circumstances.quiet
    if not text or text == OFF or circumstances.overriding:
        return None
    return hours_at(zone_of(person, circumstances.zone), text, int(circumstances.now // 60))


def quiet_hours(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict] | None:
    """Defer who has quiet hours to their end; no preference of the campaign's shortens them."""
    if circumstances.overriding:
        return None
    default, home, minute = circumstances.quiet, circumstances.zone, int(circumstances.now // 60)
    known: dict[tuple[str, str], Verdict] = {}
    verdicts: list[Verdict] = []
    for candidate in candidates:
        person = candidate.person
        text = person.quiet_hours or default
        if not text:
            verdicts.append(None)
            continue
        key = (zone_of(person, home), text)
        if key not in known:
            hours = hours_at(*key, minute)
            opens = None if hours is None else hours.opens
            known[key] = None if opens is None else Defer(opens, "quiet_hours")
        verdicts.append(known[key])
    return verdicts
