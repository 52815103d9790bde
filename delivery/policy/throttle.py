"""How fast a run's pages follow each other: a rate that may rise, within hours of the day; pages wait, not people."""

from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from delivery.snapshot import Policy
from devices.wall_time import placed, zone_or

RAMP_FLOOR = 0.05
"""What a rising rate begins with, as a share of the whole."""
DAYS_LIMIT = 60
CATCH_UP = 1.5
"""Seconds by which a page that comes late may still use the slot it missed, so that a rate is kept and not only
stayed under; no window of T seconds sees more than the rate for T + this."""


class Slot(NamedTuple):
    """When a page may begin, and when the page after it (epoch seconds)."""

    begins: float
    following: float


def per_second(policy: Policy) -> float:
    """Return the whole rate in people a second, 0 for none."""
    return policy.rate / (60.0 if policy.rate_per == "minute" else 1.0)


def page_size(policy: Policy, most: int) -> int:
    """Return how many people a page may hold so that no second sees more than the rate: at least one."""
    return most if not policy.rate else max(1, min(most, int(per_second(policy))))


def slot(policy: Policy, *, free_at: float, now: float, people: int, started: float, zone: str) -> Slot:
    """Return the next slot for a page of `people` when the run's slots are taken until `free_at`."""
    wanted = free_at if free_at > now - CATCH_UP else now
    begins = opening(policy, wanted, started=started, zone=zone)
    return Slot(begins, begins + people / _rate_at(policy, begins - started))


def opening(policy: Policy, at: float, *, started: float, zone: str) -> float:
    """Return the first instant at or after `at` within the hours of the day, which begin when the run did."""
    if not policy.window_end:
        return at
    place = zone_or(zone)
    begin = datetime.fromtimestamp(started, UTC).astimezone(place).replace(tzinfo=None)
    end = time.fromisoformat(policy.window_end)
    first = datetime.fromtimestamp(at, UTC).astimezone(place).date() - timedelta(days=1)
    for days in range(DAYS_LIMIT):
        day = first + timedelta(days=days)
        opens = placed(datetime.combine(day, begin.time()), place).timestamp()
        last = day if end > begin.time() else day + timedelta(days=1)
        closes = placed(datetime.combine(last, end), place).timestamp()
        if at < closes and opens < closes:
            return max(at, opens)
    return at


def _rate_at(policy: Policy, elapsed: float) -> float:
    whole = per_second(policy)
    if policy.ramp and elapsed < policy.ramp:
        return whole * max(RAMP_FLOOR, elapsed / policy.ramp)
    return whole


def duration(policy: Policy, people: int, *, started: float, zone: str, most: int = 500) -> float:
    """Return the seconds that `people` take under the throttle, 0 for no throttle; in at most some hundred steps."""
    if not policy.rate or not people:
        return 0.0
    at, left = started, float(people)
    step = max(float(page_size(policy, most)), people / 400)
    while left > 0:
        taken = slot(
            policy, free_at=at, now=at, people=max(1, round(min(step, left))), started=started, zone=zone
        )
        at, left = taken.following, left - step
    return at - started
