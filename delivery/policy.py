"""The planner: who of a page may be told now, who later, and who not at all, and why.

Stages in a fixed order; each lets a person pass, defers them to an instant or drops them with a
reason, and none switches another off. Pure: facts come in, verdicts go out.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from delivery.snapshot import Named
from devices.person import Person


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A person of a page, with the identity of what they would be told."""

    person: Person
    named: Named
    notification: UUID


class Circumstances(msgspec.Struct):
    """What is true of the whole page: the instant, the run's expiry, its category; and whom it has seen."""

    now: float
    expires_at: float | None = None
    category: str = ""
    opt_in: bool = False
    seen: set[UUID] = msgspec.field(default_factory=set)


class Drop(msgspec.Struct, frozen=True):
    """Never, for `reason` (`delivery.reasons`), with the values that led to it."""

    reason: str
    detail: dict[str, Any] = {}


class Defer(msgspec.Struct, frozen=True):
    """Not before `until` (epoch seconds)."""

    until: float


Stage = Callable[[Candidate, Circumstances], Drop | Defer | None]


def consent(candidate: Candidate, circumstances: Circumstances) -> Drop | None:
    """Drop who wants no notifications, or none of this category."""
    person = candidate.person
    if not person.consent:
        return Drop("no_consent")
    if circumstances.category:
        if person.allowed is False:
            return Drop("category_off", {"category": circumstances.category})
        if circumstances.opt_in and person.allowed is None:
            return Drop("not_opted_in", {"category": circumstances.category})
    return None


def deduplication(candidate: Candidate, circumstances: Circumstances) -> Drop | None:
    """Drop who stands in the page a second time with the same notification."""
    if candidate.notification in circumstances.seen:
        return Drop("duplicate", {"notification": str(candidate.notification)})
    circumstances.seen.add(candidate.notification)
    return None


def staleness(candidate: Candidate, circumstances: Circumstances) -> Drop | None:
    """Drop what is past its time."""
    limits = [limit for limit in (candidate.named.expires_at, circumstances.expires_at) if limit is not None]
    if limits and min(limits) <= circumstances.now:
        return Drop("expired", {"expired_at": min(limits)})
    return None


STAGES: tuple[Stage, ...] = (consent, deduplication, staleness)


class Plan(msgspec.Struct):
    """What the planner made of a page's people; every candidate stands in exactly one of the three."""

    passed: list[Candidate] = []
    dropped: list[tuple[Candidate, Drop]] = []
    deferred: dict[float, list[Candidate]] = {}


def plan(
    candidates: Sequence[Candidate], circumstances: Circumstances, stages: Sequence[Stage] = STAGES
) -> Plan:
    """Take every candidate through the stages, up to the first that does not let it pass."""
    result = Plan()
    for candidate in candidates:
        for stage in stages:
            verdict = stage(candidate, circumstances)
            if verdict is None:
                continue
            if isinstance(verdict, Drop):
                result.dropped.append((candidate, verdict))
            else:
                result.deferred.setdefault(verdict.until, []).append(candidate)
            break
        else:
            result.passed.append(candidate)
    return result
