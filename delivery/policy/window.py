"""Stage five: a campaign that is told between two times of day of the application's clock, on each day anew.

The beginning belongs to the window, the end does not. One that ends before it begins goes over midnight. Pages of an
audience wait for it as they are (`delivery.pacing`); named people, and those put off, are deferred to it here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from delivery.policy import local_time
from delivery.policy.quiet_hours import hours_at
from delivery.policy.verdicts import Candidate, Circumstances, Defer, Drop, Verdict, since_of, zone_of
from delivery.snapshot import Policy
from devices.quiet_hours import OFF
from devices.wall_time import placed, zone_or

DAYS_LIMIT = 60
"""Days among which one is looked for on which the window exists: a clock change may skip a short one."""
MIDNIGHT = "00:00"


class Span(NamedTuple):
    """The window of one day (epoch seconds): from `opens` to before `closes`."""

    opens: float
    closes: float


def is_on(policy: Policy) -> bool:
    """Return whether there are times of day at which nobody is told."""
    return bool(policy.window_end)


@lru_cache(maxsize=32_768)
def span(policy: Policy, at: float, *, started: float, zone: str) -> Span | None:
    """Return the window that an instant (epoch seconds) lies in, else the next one; None for always.

    A window without a beginning begins at the time of day of `started`.
    """
    if not policy.window_end:
        return None
    place = zone_or(zone)
    begin = time.fromisoformat(policy.window_start or clock(started, zone))
    end = time.fromisoformat(policy.window_end)
    first = datetime.fromtimestamp(at, UTC).astimezone(place).date() - timedelta(days=1)
    for days in range(DAYS_LIMIT):
        day = first + timedelta(days=days)
        opens = placed(datetime.combine(day, begin), place).timestamp()
        last = day if end > begin else day + timedelta(days=1)
        closes = placed(datetime.combine(last, end), place).timestamp()
        if at < closes and opens < closes:
            return Span(opens, closes)
    return None


def opening(policy: Policy, at: float, *, started: float, zone: str) -> float:
    """Return the first instant at or after `at` that lies in the window."""
    found = span(policy, at, started=started, zone=zone)
    return at if found is None else max(at, found.opens)


def clock(at: float, zone: str) -> str:
    """Return an instant's time of day in a zone, to the minute."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone(zone_or(zone)):%H:%M}"


def closing(circumstances: Circumstances) -> float | None:
    """Return when the window that a page is worked in closes, None for never."""
    found = _span_of(circumstances, circumstances.now)
    return None if found is None else found.closes


def window(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict] | None:
    """Defer everybody to the window, or behind the quiet hours that reach into it; drop whom these leave nothing of it.

    What they are told does not expire on the way there: its time to live counts from the window's first opening.
    """
    found = _span_of(circumstances, circumstances.now)
    if found is None or found.opens <= circumstances.now:
        return None
    return [_put_off(candidate, found, circumstances) for candidate in candidates]


def _put_off(candidate: Candidate, found: Span, circumstances: Circumstances) -> Verdict:
    home, until = circumstances.zone, found.opens
    quiet = "" if circumstances.overriding else candidate.person.quiet_hours or circumstances.quiet
    if quiet and quiet != OFF:
        hours = hours_at(zone_of(candidate.person, home), quiet, int(until // 60))
        if hours is not None and hours.opens is not None:
            until = hours.opens
    if until >= found.closes:
        return Drop("no_hour")
    since = since_of(candidate, circumstances)
    if circumstances.policy.local_time:
        since = local_time.instant_in(zone_of(candidate.person, home), circumstances.policy, home, since)
    first = _span_of(circumstances, since)
    end = max(since, first.opens if first else since) + circumstances.ttl
    return Defer(until, "window", max(end, candidate.named.expires_at or end))


def _span_of(circumstances: Circumstances, at: float) -> Span | None:
    return span(circumstances.policy, at, started=circumstances.started, zone=circumstances.zone)
