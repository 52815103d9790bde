"""What became of a notification on each device: the sender's outcome, and whether the device has acknowledged it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from delivery.log.store import log_store

WRITTEN = "written"
"""The reason of a message that was written to a device's line, which acknowledges it."""


class DeviceAnswer(msgspec.Struct, frozen=True):
    """A device's message; `acknowledged_at` (epoch seconds) is None while the device has not acknowledged it."""

    notification: UUID
    device: UUID
    outcome: str
    reason: str
    acknowledged_at: float | None

    @property
    def awaited(self) -> bool:
        """Whether an acknowledgement is still to come: a provider's outcome is all that a push has."""
        return self.outcome == "sent" and self.reason == WRITTEN and self.acknowledged_at is None


def of(run: UUID, told: Sequence[tuple[UUID, UUID]]) -> list[DeviceAnswer]:
    """Return what became of (subscriber, notification) of a run, by device; two reads of the log for each."""
    found = []
    for subscriber, notification in told:
        rows = [row for row in log_store().outcomes(subscriber, run) if row.notification == notification]
        heard = {
            receipt.device: receipt.at
            for receipt in log_store().receipts(subscriber, [notification])
            if receipt.kind == "acknowledged"
        }
        found += [
            DeviceAnswer(notification, row.device, row.outcome, row.reason, heard.get(row.device))
            for row in rows
        ]
    return found
