"""Stage four: nobody is told more often than the frequency caps allow, whichever campaigns meet.

A cap is a reservation: who passes holds a place from then on, at the instant they will be told.
Counted are the places less than a window away on either side, so whatever is told when, no
window of that length holds more than the cap. The stage asks once for the whole page.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from delivery.policy import best_hour, jitter, local_time, window
from delivery.policy.quiet_hours import hours_of
from delivery.policy.verdicts import Candidate, Circumstances, Defer, Drop, Verdict, expiry_of
from devices.frequency_caps import Cap, parse

SOON, FINE, COARSE = 3_600.0, 60.0, 900.0
"""People who are put off have instants of their own: they are gathered at whole minutes, or at quarters of an
hour when it is more than an hour off."""


class Ask(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A place asked for: whose, for which notification (16 bytes each), and when it will be told (epoch seconds)."""

    subscriber: bytes
    notification: bytes
    landing: float


class Full(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """No place: the cap (an index) that is full, and the instant from which it has one."""

    cap: int
    free_at: float


class Reservations(Protocol):
    """Where places are kept: one call for a page."""

    def reserve(self, caps: Sequence[Cap], asks: Sequence[Ask], *, now: float) -> list[Full | None]:
        """Take a place in every cap for each who finds one in all of them; return who does not.

        A notification that holds a place already is not counted against itself; it moves to its
        new instant, or loses its place when there is none.
        """
        ...


def concerning(caps: Any, category: str) -> tuple[Cap, ...]:
    """Return those of an application's caps (JSON values) that count a category's notifications."""
    if not caps:
        return ()
    return tuple(cap for cap in parse(caps) if cap.category is None or cap.category == category)


def landing_of(candidate: Candidate, circumstances: Circumstances) -> float:
    """Return when a candidate will be told if no cap stands against it, as far as is known now."""
    landing = _landing_of(candidate, circumstances)
    started, zone = circumstances.started, circumstances.zone
    return window.opening(circumstances.policy, landing, started=started, zone=zone)


def _landing_of(candidate: Candidate, circumstances: Circumstances) -> float:
    hours = hours_of(candidate.person, circumstances)
    if hours is not None and hours.opens is not None:
        return hours.opens
    if circumstances.policy.local_time:
        instant = local_time.held_until(candidate, circumstances)
        if instant is not None:
            return instant
    if best_hour.is_on(circumstances.policy):
        instant = best_hour.planned(candidate, circumstances)
        if instant is not None and instant > circumstances.now:
            return instant
    if circumstances.policy.jitter:
        return jitter.landing_of(candidate, circumstances)
    return circumstances.now


def caps(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict] | None:
    """Drop or defer, as the campaign says, who is over a cap, and give the others their place.

    Whom a cap would put off past their time is dropped.
    """
    rules, reservations = circumstances.caps, circumstances.reservations
    if not rules or reservations is None:
        return None
    asks = [Ask(each.person.uid, each.notification, landing_of(each, circumstances)) for each in candidates]
    answers = reservations.reserve(rules, asks, now=circumstances.now)
    verdicts: list[Verdict] = []
    for candidate, full in zip(candidates, answers, strict=True):
        verdicts.append(None if full is None else _over(candidate, full, circumstances))
    return verdicts


def _over(candidate: Candidate, full: Full, circumstances: Circumstances) -> Drop | Defer:
    cap, now = circumstances.caps[full.cap], circumstances.now
    if circumstances.policy.capped == "defer":
        grain = FINE if full.free_at - now < SOON else COARSE
        until = max(math.ceil(full.free_at / grain) * grain, now + 1)
        end = expiry_of(candidate, circumstances)
        if end is None or until < end:
            return Defer(until, "capped")
    return Drop("capped", {"category": cap.category, "count": cap.count, "hours": cap.hours})


class InMemory:
    """Reservations in this process's memory, for tests: what the script in `delivery.caps` means, in plain words."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, bytes], dict[bytes, float]] = {}

    def reserve(self, caps: Sequence[Cap], asks: Sequence[Ask], *, now: float) -> list[Full | None]:
        return [self._one(caps, ask) for ask in asks]

    def _one(self, caps: Sequence[Cap], ask: Ask) -> Full | None:
        held = [self.places.setdefault((cap.name, ask.subscriber), {}) for cap in caps]
        full = None
        for index, (cap, places) in enumerate(zip(caps, held, strict=True)):
            others = [at for notification, at in places.items() if notification != ask.notification]
            near = [at for at in others if abs(at - ask.landing) < cap.seconds]
            if full is None and len(near) >= cap.count:
                full = Full(index, sorted(others, reverse=True)[cap.count - 1] + cap.seconds)
        for places in held:
            if full is None:
                places[ask.notification] = ask.landing
            else:
                places.pop(ask.notification, None)
        return full
