"""Acknowledgements of a node's devices, written together: receipts to the log, durable cursors to the devices."""

import asyncio
import atexit
import time
from collections.abc import Mapping
from uuid import UUID

import structlog
from django.db import connections, router

from delivery import positions
from delivery.log.store import NewReceipt
from delivery.node.database import blocking
from delivery.receipts import store
from devices.models import Device

log = structlog.get_logger(__name__)

SHORTEST, LONGEST = 0.1, 0.5
"""Seconds between two writes of receipts: a push on silence waits for them, so they may not come late."""
EASE = 5.0
"""The pause is so many times what the last write took: a slow database is asked less often, for more at once."""
CURSOR_SECONDS = positions.COMMIT_WINDOW + positions.CLOCK_SKEW + 3.0
"""Between two writes of cursors: one stands so far back from now that it could not cover a younger acknowledgement."""
AT_ONCE = 500
"""Cursors in one statement."""
KEPT = 50_000
"""Receipts that wait for a database that is away."""


class Acknowledgements:
    """A buffer of what devices have stored.

    What a crash loses of it comes again: a device that keeps its own cursor acknowledges once more, and one that keeps
    none goes on from its last durable one, a quarter of a minute before.
    """

    def __init__(self) -> None:
        self._receipts: list[NewReceipt] = []
        self._marks: dict[UUID, bytes] = {}
        self._task: asyncio.Task[None] | None = None
        self._cursors_at = 0.0
        # a server that is told to end leaves the loop no time for the last ones
        atexit.register(self._at_exit)

    def add(self, *, subscriber: UUID, device: UUID, ids: list[bytes], mark: bytes | None) -> None:
        """Note that a device has stored notifications, and everything up to its low-water mark."""
        now = time.time()
        whose, where = subscriber.bytes, device.bytes
        self._receipts += [NewReceipt(whose, item, where, "acknowledged", now) for item in ids]
        if mark is not None and mark > self._marks.get(device, positions.START):
            self._marks[device] = mark
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write as long as there is something to write; the pause between grows with what writing takes."""
        pause = SHORTEST
        while self._receipts or self._marks:
            await asyncio.sleep(pause)
            began = time.monotonic()
            receipts, self._receipts = self._receipts, []
            marks: dict[UUID, bytes] = {}
            if began - self._cursors_at > CURSOR_SECONDS:
                self._cursors_at = began
                marks, self._marks = self._marks, {}
            if receipts or marks:
                try:
                    await blocking(_write)(receipts, marks)
                except Exception:
                    log.exception("node.acknowledgements_wait", receipts=len(receipts), cursors=len(marks))
                    self._put_back(receipts, marks)
                pause = min(LONGEST, max(SHORTEST, EASE * (time.monotonic() - began)))
            else:
                pause = LONGEST  # only cursors are left
        self._task = None

    def _put_back(self, receipts: list[NewReceipt], marks: Mapping[UUID, bytes]) -> None:
        """Keep what could not be written for the next time; of receipts the newest, as many as there is room for."""
        self._receipts = [*receipts, *self._receipts][-KEPT:]
        self._marks = {**marks, **self._marks}

    def _at_exit(self) -> None:
        if self._receipts or self._marks:
            _write(self._receipts, self._marks)


def _write(receipts: list[NewReceipt], marks: Mapping[UUID, bytes]) -> None:
    if receipts:
        store(receipts)
    if marks:
        write_cursors(marks, time.time())


def write_cursors(marks: Mapping[UUID, bytes], now: float) -> None:
    """Set the durable cursor of devices by their low-water marks: one statement for 500, past the ORM."""
    alias = router.db_for_write(Device)
    database = connections[alias]
    table = database.ops.quote_name(Device._meta.db_table)
    native = database.features.has_native_uuid_field
    row = "(CAST(%s AS uuid), %s)" if native else "(%s, %s)"
    with database.cursor() as cursor:
        everything = list(marks.items())
        for start in range(0, len(everything), AT_ONCE):
            some = everything[start : start + AT_ONCE]
            values = [
                value
                for device, mark in some
                for value in (str(device) if native else device.hex, positions.cursor(mark, now))
            ]
            cursor.execute(
                f"UPDATE {table} SET acknowledged = v.column2 "
                f"FROM (VALUES {', '.join([row] * len(some))}) AS v WHERE {table}.uid = v.column1",
                values,
            )
