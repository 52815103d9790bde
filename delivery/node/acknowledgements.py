"""Acknowledgements of a node's devices, written together: receipts to the log, durable cursors to the devices."""

import asyncio
import atexit
import time
from uuid import UUID

import structlog

from delivery import positions
from delivery.log.store import ReceiptRow, log_store
from delivery.node.database import blocking
from devices.models import Device

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 0.25
AT_ONCE = 500


class Acknowledgements:
    """A buffer of what devices have stored; what a crash loses of it comes again with the next acknowledgement."""

    def __init__(self) -> None:
        self._receipts: list[ReceiptRow] = []
        self._reached: dict[UUID, bytes] = {}
        self._task: asyncio.Task[None] | None = None
        atexit.register(
            self._at_exit
        )  # a server that is told to end leaves the loop no time for the last ones

    def add(self, *, subscriber: UUID, device: UUID, ids: list[bytes], reached: bytes | None) -> None:
        """Note that a device has stored notifications, up to a position."""
        now = time.time()
        self._receipts += [
            ReceiptRow(subscriber, UUID(bytes=item), device, "acknowledged", now) for item in ids
        ]
        if reached is not None:
            self._reached[device] = reached
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._later())

    async def _later(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what is buffered; what cannot be written is logged and given up."""
        receipts, reached = self._take()
        try:
            await blocking(_write)(receipts, reached)
        except Exception:
            log.exception("node.acknowledgements_lost", receipts=len(receipts))

    def _take(self) -> tuple[list[ReceiptRow], dict[UUID, bytes]]:
        receipts, self._receipts = self._receipts, []
        reached, self._reached = self._reached, {}
        return receipts, reached

    def _at_exit(self) -> None:
        receipts, reached = self._take()
        if receipts or reached:
            _write(receipts, reached)


def _write(receipts: list[ReceiptRow], reached: dict[UUID, bytes]) -> None:
    log_store().write_receipts(receipts)
    # Live devices have all reached the last seconds, where a cursor does not go: one value serves most of them.
    now = time.time()
    devices: dict[str, list[UUID]] = {}
    for device, place in reached.items():
        devices.setdefault(positions.cursor(place, now), []).append(device)
    for cursor, same in devices.items():
        for start in range(0, len(same), AT_ONCE):
            Device.objects.filter(uid__in=same[start : start + AT_ONCE]).update(acknowledged=cursor)
