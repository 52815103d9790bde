"""What goes wrong at a provider on purpose, changed while it runs."""

from __future__ import annotations

import time
from typing import Annotated, TypeVar

import msgspec

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


class Faults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All faults of one provider; a field that is not set changes nothing.

    `dead_fraction` picks devices by their number, always the same ones. `lost_answers`
    sends arrive but are never answered, as when a connection dies in flight.
    """

    latency_ms: Annotated[float, msgspec.Meta(ge=0, le=600_000)] = 0.0
    dead_fraction: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    refuse_credentials: bool = False
    status_5xx: Failure | None = None
    quota_429: Quota | None = None
    answer: Refusal | None = None
    lost_answers: Count = 0
    limit_token_updates: bool = False
    since: int = msgspec.field(default_factory=lambda: int(time.time() * 1000))

    def strikes(self, device: int) -> bool:
        """Whether this device belongs to the dead fraction."""
        return self.dead_fraction > 0 and (device * 2654435761 & 0xFFFFFFFF) < self.dead_fraction * 2**32

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
