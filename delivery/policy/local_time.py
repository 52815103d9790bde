"""Stage seven: a campaign that is told at a time of each person's own clock."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from delivery.policy.verdicts import Candidate, Circumstances, Defer, Verdict, since_of, zone_of
from delivery.snapshot import Policy
from devices.wall_time import placed, zone_or

_FIRST_AND_LAST = ("Etc/GMT-14", "Etc/GMT+12")
"""The zones in which a day begins first and ends last (POSIX signs: east is minus)."""
_CHANGES = 7_200.0
"""Seconds by which clock changes may put off a wall time."""


@lru_cache(maxsize=8_192)
def instant_in(zone: str, policy: Policy, home: str, since: float) -> float:
    """Return when a campaign begun at `since` is told in a zone (epoch seconds); never before `since`.

    Where the wanted time was past at `since` that is `since` itself, or the same time of the next
    day when the policy says so. `home` is the application's zone: its calendar names the day.
    """
    at, place = time.fromisoformat(policy.local_time), zone_or(zone, home)
    begun = datetime.fromtimestamp(since, UTC)
    if policy.local_date:
        day = date.fromisoformat(policy.local_date)
    else:
        day = begun.astimezone(zone_or(home)).date()
    wanted = placed(datetime.combine(day, at), place)
    if wanted >= begun:
        return wanted.timestamp()
    if policy.late == "now":
        return since
    today = begun.astimezone(place).date()
    later = (placed(datetime.combine(today + timedelta(days=days), at), place) for days in range(-1, 4))
    return next(instant.timestamp() for instant in later if instant >= begun)


def latest(policy: Policy, home: str, since: float) -> float:
    """Return an instant (epoch seconds) at which a campaign begun at `since` has been told in every zone."""
    if not policy.local_time:
        return since
    last = max(instant_in(zone, policy, home, since) for zone in _FIRST_AND_LAST)
    if policy.late == "tomorrow":
        last = max(last, since + 86_400.0)  # a zone that just missed it waits a day
    return last + _CHANGES


def held_until(candidate: Candidate, circumstances: Circumstances) -> float | None:
    """Return the instant of a person's local time while it is to come."""
    policy = circumstances.policy
    zone = zone_of(candidate.person, circumstances.zone)
    instant = instant_in(zone, policy, circumstances.zone, since_of(candidate, circumstances))
    return instant if instant > circumstances.now else None


def local_time(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict] | None:
    """Defer everybody to their local time; it does not expire on the way there, but `ttl` after it."""
    if not circumstances.policy.local_time:
        return None
    verdicts: list[Verdict] = []
    for candidate in candidates:
        instant = held_until(candidate, circumstances)
        if instant is None:
            verdicts.append(None)
        else:
            verdicts.append(Defer(instant, "local_time", instant + circumstances.ttl))
    return verdicts
