"""Stage one: who wants to be told, of this category too."""

from collections.abc import Sequence

from delivery.policy.verdicts import Candidate, Circumstances, Drop, Verdict

_NO_CONSENT = Drop("no_consent")


def consent(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict]:
    """Drop who wants no notifications, or none of this category.

    An overriding campaign passes the choice of a category, never the wish for no notifications at all.
    """
    key = circumstances.category
    if not key or circumstances.overriding:
        return [None if candidate.person.consent else _NO_CONSENT for candidate in candidates]
    off, not_in = Drop("category_off", {"category": key}), Drop("not_opted_in", {"category": key})
    unasked = not_in if circumstances.opt_in else None
    verdicts: list[Verdict] = []
    for candidate in candidates:
        person = candidate.person
        if not person.consent:
            verdicts.append(_NO_CONSENT)
        elif person.allowed is None:
            verdicts.append(unasked)
        else:
            verdicts.append(None if person.allowed else off)
    return verdicts
