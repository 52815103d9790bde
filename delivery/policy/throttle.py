"""How fast a run's pages follow each other: a rate that may rise, within hours of the day; pages wait, not people."""

import math
from typing import NamedTuple

from delivery.policy import window
from delivery.snapshot import Policy

RAMP_FLOOR = 0.05
"""What a rising rate begins with, as a share of the whole."""
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
    begins = window.opening(policy, wanted, started=started, zone=zone)
    return Slot(begins, begins + people / _rate_at(policy, begins - started))


def _rate_at(policy: Policy, elapsed: float) -> float:
    whole = per_second(policy)
    if policy.ramp and elapsed < policy.ramp:
        return whole * max(RAMP_FLOOR, elapsed / policy.ramp)
    return whole


def duration(policy: Policy, people: int, *, started: float, zone: str, most: int = 500) -> float:
    """Return the seconds that `people` take under the throttle, 0 for no throttle; in at most some hundred steps."""
    if not policy.rate or not people:
        return 0.0
    at, left = started, people
    step = max(page_size(policy, most), math.ceil(people / 400))
    while left > 0:
        taken = slot(policy, free_at=at, now=at, people=min(step, left), started=started, zone=zone)
        at, left = taken.following, left - step
    return at - started


def fits(policy: Policy, *, started: float, zone: str) -> int | None:
    """Return how many people a rate lets into the window that a run begins in; None without a rate or a window."""
    found = window.span(policy, started, started=started, zone=zone)
    if not policy.rate or found is None:
        return None
    seconds = found.closes - max(started, found.opens)
    rising = min(seconds, float(policy.ramp))
    slow = min(rising, RAMP_FLOOR * policy.ramp)
    risen = slow * RAMP_FLOOR
    if policy.ramp:
        risen += (rising**2 - slow**2) / (2 * policy.ramp)
    return int(per_second(policy) * (risen + seconds - rising))
