"""What goes wrong at a provider on purpose, changed while it runs."""

from __future__ import annotations

import math
import random
import time
from typing import Annotated, TypeVar

import msgspec

_P99_SIGMAS = 2.3263
"""How many standard deviations above its middle a normal distribution has its 99th percentile."""
Count = Annotated[int, msgspec.Meta(ge=0)]
_Counted = TypeVar("_Counted", "Failure", "Quota", "Refusal")


class Failure(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` sends are answered by `status`."""

    status: Annotated[int, msgspec.Meta(ge=500, le=599)] = 503
    count: Count = 1
    retry_after: Count | None = None


class Quota(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` sends are answered 429; `retry_after` is in seconds."""

    count: Count = 1
    retry_after: Count = 1


class Refusal(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` sends are refused with this reason of the provider's own table."""

    reason: str
    count: Count = 1
    retry_after: Count | None = None


class Latency(msgspec.Struct, forbid_unknown_fields=True):
    """Answers come later, half of them by more than `p50` milliseconds and one in a hundred by more than `p99`.

    In between it is log-normal, as waits for a service are.
    """

    p50: Annotated[float, msgspec.Meta(gt=0, le=600_000)]
    p99: Annotated[float, msgspec.Meta(gt=0, le=600_000)]

    def __post_init__(self) -> None:
        if self.p99 < self.p50:
            raise ValueError(f"p99: must not be less than p50, got {self.p99} and {self.p50}")

    def sample(self) -> float:
        """Return one wait in milliseconds."""
        return random.lognormvariate(math.log(self.p50), math.log(self.p99 / self.p50) / _P99_SIGMAS)


class Faults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All faults of one provider; a field that is not set changes nothing.

    `dead_fraction` picks devices by their number, always the same ones. `lost_answers`
    sends arrive but are never answered, as when a connection dies in flight. After `cut_after` more
    sends all connections are closed at once, in mid-batch; new ones are taken, unless `refuse_connections`.
    """

    latency_ms: Annotated[float, msgspec.Meta(ge=0, le=600_000)] = 0.0
    latency: Latency | None = None
    dead_fraction: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    refuse_credentials: bool = False
    status_5xx: Failure | None = None
    quota_429: Quota | None = None
    answer: Refusal | None = None
    lost_answers: Count = 0
    refuse_connections: bool = False
    cut_after: Count = 0
    limit_token_updates: bool = False
    since: int = msgspec.field(default_factory=lambda: int(time.time() * 1000))

    def strikes(self, device: int) -> bool:
        """Whether this device belongs to the dead fraction."""
        return self.dead_fraction > 0 and (device * 2654435761 & 0xFFFFFFFF) < self.dead_fraction * 2**32

    def wait(self) -> float:
        """Return how many seconds the next answer is late."""
        return (self.latency_ms + (self.latency.sample() if self.latency else 0.0)) / 1000

    def take_cut(self) -> bool:
        """Count a send; return whether the connections are cut at it."""
        if self.cut_after <= 0:
            return False
        self.cut_after -= 1
        return self.cut_after == 0

    def take_failure(self) -> Failure | None:
        """Use up one 5xx answer."""
        return _take(self.status_5xx)

    def take_quota(self) -> Quota | None:
        """Use up one 429 answer."""
        return _take(self.quota_429)

    def take_refusal(self) -> Refusal | None:
        """Use up one answer of a chosen reason."""
        return _take(self.answer)

    def take_lost_answer(self) -> bool:
        """Use up one answer that gets lost."""
        if self.lost_answers <= 0:
            return False
        self.lost_answers -= 1
        return True


def _take(fault: _Counted | None) -> _Counted | None:
    if fault is None or fault.count <= 0:
        return None
    fault.count -= 1
    return fault
