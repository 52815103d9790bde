"""What an experiment's numbers show, and what they do not: intervals of shares and of their differences.

A share's interval is Wilson's with 95 % confidence (E. B. Wilson, JASA 22, 1927); that of a difference is Newcombe's
hybrid score interval, his method 10 (R. G. Newcombe, Statistics in Medicine 17, 1998, pages 873 to 890), which is
made of Wilson's two. Both stay between the values that are possible and hold at small counts and shares near 0.
"""

import math
from statistics import NormalDist

import msgspec

from devices.words import gettext, percent
from devices.words import gettext_noop as _

CONFIDENCE = 0.95
LEAST_PEOPLE = 100
"""People whom each variant must have told before there may be a winner."""
LEAST_EVENTS = 10
"""People who did what is measured, all variants together, before there may be a winner."""

NOTHING = _("There is nothing to compare: an experiment needs two variants.")
FEW_PEOPLE = _("No winner yet: %(listed)s told fewer than %(least_people)s people, so nothing can be said.")
FEW_EVENTS = _("No winner yet: fewer than %(least_events)s people did what is measured.")
LEVEL = _(
    "No winner: %(best)s is ahead, but the difference to %(listed)s may be chance"
    " (its %(confidence)s interval holds 0)."
)
WINS = _("%(best)s wins: the %(confidence)s interval of its difference to every other variant lies above 0.")
REMARKS = (NOTHING, FEW_PEOPLE, FEW_EVENTS, LEVEL, WINS)
"""What a decision says (`delivery.remarks.said` says a stored one again)."""


class Arm(msgspec.Struct, frozen=True):
    """An arm of an experiment: of `people` told (or not told: the control), `did` did what is measured."""

    key: str
    people: int
    did: int

    @property
    def share(self) -> float:
        """The share that did; 0 of nobody."""
        return self.did / self.people if self.people else 0.0


class Interval(msgspec.Struct, frozen=True):
    """A value with the bounds between which it is taken to be."""

    low: float
    value: float
    high: float


class Decision(msgspec.Struct, frozen=True):
    """The winner, or none, with the sentence that says why."""

    winner: str
    because: str


def share(arm: Arm, *, confidence: float = CONFIDENCE) -> Interval:
    """Return an arm's share with Wilson's interval; everything is possible of nobody."""
    if not arm.people:
        return Interval(0.0, 0.0, 1.0)
    z, n, p = _z(confidence), arm.people, arm.share
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(min(p, max(0.0, middle - half)), p, max(p, min(1.0, middle + half)))


def difference(arm: Arm, other: Arm, *, confidence: float = CONFIDENCE) -> Interval:
    """Return by how much an arm's share is above another's (−1 to 1), with Newcombe's interval."""
    if not arm.people or not other.people:
        return Interval(-1.0, arm.share - other.share, 1.0)
    mine, theirs = share(arm, confidence=confidence), share(other, confidence=confidence)
    value = mine.value - theirs.value
    low = value - math.hypot(mine.value - mine.low, theirs.high - theirs.value)
    high = value + math.hypot(mine.high - mine.value, theirs.value - theirs.low)
    return Interval(max(-1.0, low), value, min(1.0, high))


def lift(arm: Arm, control: Arm) -> float | None:
    """Return by which share of the control's own an arm is above it (0.1: a tenth more); None without a base."""
    return arm.share / control.share - 1 if control.did else None


def decide(arms: list[Arm], *, look: int = 0) -> Decision:
    """Return the winner of some variants, if the evidence names one.

    The rule: each variant has told at least `LEAST_PEOPLE`, together at least `LEAST_EVENTS` people did what is
    measured, and the interval of the best one's difference to every other lies above 0, at a confidence that is shared
    out among the comparisons (Bonferroni): 1 − 0.05 / (variants − 1). That holds for one look, after the time that was
    planned; who looks every hour and stops at the first winner is wrong more often than 5 % of the time. Who looks
    repeatedly says which `look` it is, from 1 on: each may be wrong half as often as the one before, so that all
    together are below 5 %.
    """
    if len(arms) < 2:
        return Decision("", gettext(NOTHING))
    small = [arm.key for arm in arms if arm.people < LEAST_PEOPLE]
    if small:
        return Decision(
            "",
            gettext(FEW_PEOPLE) % {"listed": ", ".join(small), "least_people": LEAST_PEOPLE},
        )
    if sum(arm.did for arm in arms) < LEAST_EVENTS:
        return Decision(
            "",
            gettext(FEW_EVENTS) % {"least_events": LEAST_EVENTS},
        )
    best = max(arms, key=lambda arm: arm.share)
    confidence = 1 - (1 - CONFIDENCE) / (len(arms) - 1) / 2**look
    level = [
        other.key
        for other in arms
        if other is not best and difference(best, other, confidence=confidence).low <= 0
    ]
    if level:
        return Decision(
            "",
            gettext(LEVEL) % {"best": best.key, "listed": ", ".join(level), "confidence": _level(confidence)},
        )
    return Decision(
        best.key,
        gettext(WINS) % {"best": best.key, "confidence": _level(confidence)},
    )


def _level(confidence: float) -> str:
    """Say a level of confidence without digits that say nothing: 95 %, 97.5 %."""
    digits = next((digits for digits in (0, 1) if round(confidence, 2 + digits) == round(confidence, 6)), 2)
    return percent(confidence, digits)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
