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


class Acknowledgements:
    """A buffer of what devices have stored; what a crash loses of it comes again with the next acknowledgement."""

    def __init__(self) -> None:
        self._receipts: list[ReceiptRow] = []
        self._cursors: dict[UUID, str] = {}
        self._task: asyncio.Task[None] | None = None
        atexit.register(self._at_exit)  # a server that is told to end leaves the loop no time for the last ones

    def add(self, *, subscriber: UUID, device: UUID, ids: list[bytes], reached: bytes | None) -> None:
        """Note that a device has stored notifications, up to a position."""
        now = time.time()
        self._receipts += [
            ReceiptRow(subscriber, UUID(bytes=item), device, "acknowledged", now) for item in ids
        ]
        if reached is not None:
            self._cursors[device] = positions.cursor(reached, now)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._later())

    async def _later(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what is buffered; what cannot be written is logged and given up."""
        receipts, cursors = self._take()
        try:
            await blocking(_write)(receipts, cursors)
        except Exception:
            log.exception("node.acknowledgements_lost", receipts=len(receipts))

    def _take(self) -> tuple[list[ReceiptRow], dict[UUID, str]]:
        receipts, self._receipts = self._receipts, []
        cursors, self._cursors = self._cursors, {}
        return receipts, cursors

    def _at_exit(self) -> None:
        receipts, cursors = self._take()
        if receipts or cursors:
            _write(receipts, cursors)


def _write(receipts: list[ReceiptRow], cursors: dict[UUID, str]) -> None:
    log_store().write_receipts(receipts)
    devices = list(Device.objects.filter(uid__in=list(cursors)).only("pk", "uid", "acknowledged"))
    for device in devices:
        device.acknowledged = cursors[device.uid]
    Device.objects.bulk_update(devices, ["acknowledged"], batch_size=200)
