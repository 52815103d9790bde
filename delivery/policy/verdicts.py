"""What goes into the planner's stages and what comes out of them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from delivery.snapshot import Named, Policy
from devices.frequency_caps import Cap
from devices.person import Person

if TYPE_CHECKING:
    from delivery.policy.caps import Reservations


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A person of a page, with the identity (16 bytes) of what they would be told."""

    person: Person
    named: Named
    notification: bytes


class Circumstances(msgspec.Struct):
    """What is true of the whole page.

    The instant, the run's expiry, policy and category; the application's zone and quiet hours;
    `started`, when the run began (named people have an instant of their own), and `ttl`, the seconds
    that count from a local time; `overriding`: preferences and quiet hours do not hold it; `best_hour`:
    the application's, -1 while it is not known. `caps`
    are those that concern the run, `reservations` where they are counted. `seen` grows with the page.
    """

    now: float
    expires_at: float | None = None
    category: str = ""
    opt_in: bool = False
    policy: Policy = Policy()
    zone: str = "UTC"
    quiet: str = ""
    started: float = 0.0
    ttl: float = 86_400.0
    overriding: bool = False
    best_hour: int = -1
    caps: tuple[Cap, ...] = ()
    reservations: "Reservations | None" = None
    seen: set[bytes] = msgspec.field(default_factory=set)


class Drop(msgspec.Struct, frozen=True):
    """Never, for `reason` (`delivery.reasons.STOPPED`), with the values that led to it."""

    reason: str
    detail: dict[str, Any] = {}


class Defer(msgspec.Struct, frozen=True):
    """Not before `until` (epoch seconds), for `reason` (`delivery.reasons.DEFERRED`).

    `expires_at` is the notification's end from then on, None to leave it as it is.
    """

    until: float
    reason: str = ""
    expires_at: float | None = None


Verdict = Drop | Defer | None
Stage = Callable[[Sequence[Candidate], Circumstances], Sequence[Verdict] | None]
"""From people to a verdict for each, or None when all of them pass."""


def each(judge: Callable[[Candidate, Circumstances], Verdict]) -> Stage:
    """Return the stage that asks `judge` about one person after the other."""

    def stage(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict]:
        return [judge(candidate, circumstances) for candidate in candidates]

    return stage


def zone_of(person: Person, application: str) -> str:
    """Return the zone of the newest device that knows one, else the person's, else the application's."""
    for device in reversed(person.devices):
        if device.time_zone:
            return device.time_zone
    return person.time_zone or application


def since_of(candidate: Candidate, circumstances: Circumstances) -> float:
    """Return when what a candidate is told was begun: what is past then was past from the start."""
    since = candidate.named.since
    return circumstances.started if since is None else since


def expiry_of(candidate: Candidate, circumstances: Circumstances) -> float | None:
    """Return the instant from which a candidate need not be told any more, None for never.

    With a local time every person's time to live counts from their own.
    """
    own = candidate.named.expires_at
    if own is None and circumstances.policy.own_times:
        own = since_of(candidate, circumstances) + circumstances.ttl
    if own is None:
        return circumstances.expires_at
    return own if circumstances.expires_at is None else min(own, circumstances.expires_at)
