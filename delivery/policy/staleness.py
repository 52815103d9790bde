"""Stage three: what is past its time is not told."""

from collections.abc import Sequence

from delivery.policy.verdicts import Candidate, Circumstances, Drop, Verdict, expiry_of


def staleness(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Verdict]:
    """Drop what is past its time."""
    now = circumstances.now
    verdicts: list[Verdict] = []
    for candidate in candidates:
        end = expiry_of(candidate, circumstances)
        verdicts.append(Drop("expired", {"expired_at": end}) if end is not None and end <= now else None)
    return verdicts
