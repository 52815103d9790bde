"""Stage two: nobody is told the same thing twice by one page."""

from collections.abc import Sequence

from delivery.policy.verdicts import Candidate, Circumstances, Drop, Verdict
from delivery.positions import text_of


def deduplication(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict] | None:
    """Drop who stands in the page a second time with the same notification."""
    seen = circumstances.seen
    before = len(seen)
    new = {candidate.notification for candidate in candidates}
    if not before and len(new) == len(candidates):
        seen.update(new)
        return None
    verdicts: list[Verdict] = []
    for candidate in candidates:
        if candidate.notification in seen:
            verdicts.append(Drop("duplicate", {"notification": text_of(candidate.notification)}))
        else:
            seen.add(candidate.notification)
            verdicts.append(None)
    return verdicts
