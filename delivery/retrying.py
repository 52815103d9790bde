"""When a message is tried again: after what the provider asks for, else after a random wait, never past its time.

Pure: instants and waits in seconds.
"""

from collections.abc import Iterable

import msgspec

MAX_ATTEMPTS = 8
"""Times that a message is handed to a provider which refuses it for now; what never left does not count."""
BACKOFF_BASE = 2.0
BACKOFF_CAP = 300.0
PATIENCE_CAP = 30.0
"""The longest that an (application, provider) rests after a wave of refusals: somebody must see that it is over."""


class Again(msgspec.Struct, frozen=True):
    """Messages of a parcel, by index, that go into one parcel: which attempt it is, and not before when."""

    attempt: int
    due_at: float
    indexes: list[int]


def due(
    attempt: int, *, now: float, draw: float, retry_after: float | None, expires_at: float | None
) -> float | None:
    """Return when a message that failed for now is tried again, None when its time ends before that.

    `retry_after` is the provider's word and is kept. Without it the wait is random (full jitter): `draw` of
    [0, 1) chooses within a span that doubles with every attempt and ends with the message's own time.
    """
    if retry_after is None:
        span = min(BACKOFF_CAP, BACKOFF_BASE * 2.0**attempt)
        if expires_at is not None:
            span = min(span, max(0.0, expires_at - now))
        return now + draw * span
    again = now + retry_after
    return None if expires_at is not None and again >= expires_at else again


def patience(waves: int, *, draw: float) -> float:
    """Return how many seconds a provider is left alone after so many waves of refusals one after another."""
    return 0.5 + draw * min(PATIENCE_CAP, BACKOFF_BASE * 2.0 ** min(waves, 16))


def grouped(dues: Iterable[tuple[int, int, float]]) -> list[Again]:
    """Return the parcels that (index, attempt, due instant) make: equal attempts and instants go together."""
    groups: dict[tuple[int, float], list[int]] = {}
    for index, attempt, instant in dues:
        groups.setdefault((attempt, instant), []).append(index)
    return [Again(attempt, instant, sorted(indexes)) for (attempt, instant), indexes in groups.items()]
