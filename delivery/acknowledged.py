"""What became of a notification on each device: the sender's outcome, and whether the device has acknowledged it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from delivery.log.store import Who, log_store

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


def of(run: UUID, told: Sequence[tuple[Who, UUID]]) -> list[DeviceAnswer]:
    """Return what became of some people's notifications of a run, by device; two reads of the log."""
    pairs = [(uid, notification) for (_, uid), notification in told]
    heard: dict[tuple[UUID, UUID], float] = {}
    for receipt in log_store().receipts_of(pairs):
        if receipt.kind == "acknowledged":
            message = (receipt.notification, receipt.device)
            heard[message] = min(receipt.at, heard.get(message, receipt.at))
    place = {notification: number for number, (_, notification) in enumerate(pairs)}
    rows = [row for row in log_store().outcomes([who for who, _ in told], run) if row.notification in place]
    return [
        DeviceAnswer(
            row.notification, row.device, row.outcome, row.reason, heard.get((row.notification, row.device))
        )
        for row in sorted(rows, key=lambda row: place[row.notification])
    ]
