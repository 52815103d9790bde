"""Stage eight: a campaign that is told at the hour at which each person opens most, within a window of their day.

An hour begins when it is full on the person's own clock. Of those in the window it is the one nearest to their
best that quiet hours leave free; where there is none the person is dropped. Whoever's turn comes late, past the
window, waits for the next.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from delivery.policy.quiet_hours import hours_at
from delivery.policy.verdicts import Candidate, Circumstances, Defer, Drop, Verdict, since_of, zone_of
from delivery.snapshot import Policy
from devices.quiet_hours import OFF
from devices.wall_time import placed, zone_or

DAY = 86_400.0
_LOOKS_AHEAD = 3
"""Days among which the first with the hour is looked for: a clock change may skip one."""


def is_on(policy: Policy) -> bool:
    """Return whether everybody is told at an hour of their own."""
    return policy.best >= 0


def hour_of(candidate: Candidate, circumstances: Circumstances) -> int:
    """Return a person's best hour, else the application's, else the campaign's."""
    for hour in (candidate.person.best_hour, circumstances.best_hour, circumstances.policy.best):
        if 0 <= hour < 24:
            return hour
    return 0


def in_window(zone: str, policy: Policy, home: str, at: float) -> bool:
    """Return whether an instant (epoch seconds) lies in the window of a zone's day."""
    hour = datetime.fromtimestamp(at, UTC).astimezone(zone_or(zone, home)).hour
    return policy.best_from <= hour < policy.best_until


@lru_cache(maxsize=65_536)
def instant_in(
    zone: str, hour: int, policy: Policy, home: str, quiet: str, since: float, dated: bool = True
) -> float | None:
    """Return when somebody in a zone whose hour it is is told of what was begun at `since`; never before it.

    That is the next time of their hour, on `local_date` where there is one and it is `dated`; None where quiet
    hours (as text) cover the whole window.
    """
    place = zone_or(zone, home)
    begun = datetime.fromtimestamp(since, UTC)
    day = begun.astimezone(place).date()
    if policy.local_date and dated:
        day = max(day, date.fromisoformat(policy.local_date))
    hours = sorted(range(policy.best_from, policy.best_until), key=lambda one: (abs(one - hour), one))
    for one in hours:
        for days in range(_LOOKS_AHEAD):
            at = placed(datetime.combine(day + timedelta(days=days), time(one)), place)
            if at >= begun and in_window(zone, policy, home, at.timestamp()):
                if not _is_quiet(zone, quiet, at.timestamp(), home):
                    return at.timestamp()
                break
    return None


def _is_quiet(zone: str, quiet: str, at: float, home: str) -> bool:
    if not quiet or quiet == OFF:
        return False
    hours = hours_at(zone_or(zone, home).key, quiet, int(at // 60))
    return hours is not None and hours.opens is not None


def planned(candidate: Candidate, circumstances: Circumstances) -> float | None:
    """Return when a person is to be told: an instant that may have come; None where there is no hour for them."""
    policy, home, now = circumstances.policy, circumstances.zone, circumstances.now
    zone, hour = zone_of(candidate.person, home), hour_of(candidate, circumstances)
    quiet = "" if circumstances.overriding else candidate.person.quiet_hours or circumstances.quiet
    since = since_of(candidate, circumstances)
    instant = instant_in(zone, hour, policy, home, quiet, since)
    if instant is not None and instant <= now and not in_window(zone, policy, home, now):
        instant = instant_in(zone, hour, policy, home, quiet, now, False)  # somebody was late
    return instant


def window_end(candidate: Candidate, circumstances: Circumstances) -> float:
    """Return when the window that a person is in now closes."""
    place = zone_or(zone_of(candidate.person, circumstances.zone), circumstances.zone)
    here = datetime.fromtimestamp(circumstances.now, UTC).astimezone(place)
    until = circumstances.policy.best_until
    day = here.date() + timedelta(days=until // 24)
    return placed(datetime.combine(day, time(until % 24)), place).timestamp()


def latest(policy: Policy, since: float) -> float:
    """Return an instant at which everybody has been told of what was begun at `since`."""
    first = since
    if policy.local_date:
        midnight = datetime.combine(date.fromisoformat(policy.local_date), time(), UTC).timestamp()
        first = max(since, midnight + DAY / 2)  # where the day begins last
    return first + (_LOOKS_AHEAD - 1) * DAY


def best_hour(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict] | None:
    """Defer everybody to their hour; what they are told does not expire on the way there, but `ttl` after it."""
    if not is_on(circumstances.policy):
        return None
    verdicts: list[Verdict] = []
    for candidate in candidates:
        instant = planned(candidate, circumstances)
        if instant is None:
            verdicts.append(Drop("no_hour"))
        elif instant > circumstances.now:
            verdicts.append(Defer(instant, "best_hour", instant + circumstances.ttl))
        else:
            verdicts.append(None)
    return verdicts
