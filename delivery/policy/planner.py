"""A page's people through the stages, in a fixed order; none switches another off.

Each stage lets a person pass, defers them to an instant or drops them with a reason, and sees
only those whom the stages before it let pass. What policy says of the pages themselves, how fast
they follow each other, is `delivery.policy.throttle`.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from delivery.policy.best_hour import best_hour
from delivery.policy.caps import caps
from delivery.policy.consent import consent
from delivery.policy.deduplication import deduplication
from delivery.policy.local_time import local_time
from delivery.policy.quiet_hours import quiet_hours
from delivery.policy.staleness import staleness
from delivery.policy.verdicts import Candidate, Circumstances, Defer, Drop, Stage, since_of
from delivery.policy.window import window

STAGES: tuple[Stage, ...] = (
    consent,
    deduplication,
    staleness,
    caps,
    window,
    quiet_hours,
    local_time,
    best_hour,
)


class Plan(msgspec.Struct):
    """What the planner made of a page's people; every candidate stands in exactly one of the three.

    Those `deferred`, by instant, are named as they are to be planned again. `waits` counts them by reason.
    """

    passed: list[Candidate] = []
    dropped: list[tuple[Candidate, Drop]] = []
    deferred: dict[float, list[Candidate]] = {}
    waits: Counter[str] = msgspec.field(default_factory=Counter)


def plan(
    candidates: Sequence[Candidate], circumstances: Circumstances, stages: Sequence[Stage] = STAGES
) -> Plan:
    """Take every candidate through the stages, up to the first that does not let it pass."""
    result = Plan()
    left: Sequence[Candidate] = candidates
    for stage in stages:
        if not left:
            break
        verdicts = stage(left, circumstances)
        if verdicts is None:
            continue
        passed = []
        for candidate, verdict in zip(left, verdicts, strict=True):
            if verdict is None:
                passed.append(candidate)
            elif isinstance(verdict, Drop):
                result.dropped.append((candidate, verdict))
            else:
                put_off = result.deferred.setdefault(verdict.until, [])
                put_off.append(_later(candidate, verdict, circumstances))
                result.waits[verdict.reason] += 1
        left = passed
    result.passed = list(left)
    return result


def _later(candidate: Candidate, verdict: Defer, circumstances: Circumstances) -> Candidate:
    """Return a candidate as it is planned again: when it began and when it ends do not change by waiting."""
    named = candidate.named
    since = since_of(candidate, circumstances)
    expires_at = named.expires_at if verdict.expires_at is None else verdict.expires_at
    named = msgspec.structs.replace(named, since=since, expires_at=expires_at)
    return msgspec.structs.replace(candidate, named=named)
