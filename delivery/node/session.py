"""A device that has shown its token, whatever it came with: register presence, replay from its cursor, then live."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from delivery import positions, reading, receipts
from delivery.node import frames, lookups
from delivery.node.acknowledgements import Acknowledgements
from delivery.node.connection import Connection
from delivery.node.table import Node
from delivery.node.wire import Wire
from devices.tokens import Identity

log = structlog.get_logger(__name__)

ACK_SECONDS = 30.0
"""How long a replay waits for the acknowledgement of one page before it sends the next."""

acknowledgements = Acknowledgements()


class Session:
    """One device's conversation with its node, from its token to its end.

    `close` ends the line with a code. A line that cannot acknowledge (`listens` false) is not waited for.
    """

    def __init__(
        self,
        identity: Identity,
        wire: Wire,
        *,
        node: Node,
        close: Callable[[int], None],
        listens: bool = True,
    ) -> None:
        self.identity = identity
        self.ended = False
        self._node = node
        self._wire = wire
        self._close = close
        self._listens = listens
        self._acknowledged = asyncio.Event()
        self._replaying: asyncio.Task[None] | None = None
        self._seen: Callable[[bytes], bool] = _nothing
        self.connection = Connection(
            device=identity.device_uid.bytes,
            subscriber=identity.subscriber_uid,
            application=str(identity.application_uid),
            platform=identity.platform,
            wire=wire,
            close=close,
            catch_up=self.catch_up,
        )

    async def begin(self, cursor: str | None) -> None:
        """Greet the device and have its log read from its cursor, or from where it acknowledged."""
        after = None
        if cursor:
            try:
                after, self._seen = positions.decode_seen(cursor)
            except positions.CursorError as error:
                self._wire.write(frames.error("The cursor was not understood.", str(error)))
        # presence first, then the log: an entry that is written in between arrives live
        await self._node.add(self.connection)
        if after is None:
            after = await lookups.durable_cursor(self.identity.device_uid)
        recovered = reading.reaches_back(after)
        if not recovered:
            after = reading.oldest(time.time())
        self.connection.safe = after
        self._wire.write(
            frames.hello(
                device=str(self.identity.device_uid),
                node=self._node.name,
                cursor=positions.encode(after),
                recovered=recovered,
            )
        )
        self._replay_from(after)

    def catch_up(self) -> None:
        """Read the log once more: this node or Redis was away, and entries may have passed by."""
        if not self.ended and self.connection.read_again():
            self._replay_from(self.connection.safe)

    def end(self) -> None:
        """Forget the device: its line is gone."""
        self.ended = True
        if self._replaying is not None:
            self._replaying.cancel()
        self._node.remove(self.connection)
        self.connection.end()

    # -- what the device says

    def acknowledge(self, seq: int | None, ids: Sequence[str]) -> None:
        """Note what the device has stored: everything up to `seq`, or single ids."""
        covered, mark = self.connection.acknowledge(seq) if seq is not None else ([], None)
        if ids:
            covered += uuids(ids[: receipts.MOST_IDS])
        if covered:
            acknowledgements.add(
                subscriber=self.identity.subscriber_uid,
                device=self.identity.device_uid,
                ids=covered,
                mark=mark,
            )
        self._acknowledged.set()

    async def receipt(self, ids: Sequence[str], kind: str) -> None:
        """Store what happened to notifications on the device."""
        items = [UUID(bytes=item) for item in uuids(ids)]
        if len(items) < len(ids):
            wrong = next(one for one in ids if not uuids([one]))
            detail = f"“{wrong[:100]}” is no id of an entry, which is a UUID; the others count."
            self.connection.send(frames.error("An id was not understood.", detail))
        try:
            await lookups.record(self.identity.subscriber_uid, self.identity.device_uid, items, kind)
        except receipts.ReceiptError as error:
            self.connection.send(frames.error("The receipt was refused.", str(error)))

    # -- the replay

    def _replay_from(self, after: bytes) -> None:
        self._replaying = asyncio.get_running_loop().create_task(self._replay(after))
        self._replaying.add_done_callback(self._replayed)

    async def _replay(self, after: bytes) -> None:
        """Write what the log holds behind a position, page by page, then let live entries through."""
        connection = self.connection
        while True:
            while True:
                found = await lookups.replay((connection.subscriber, connection.platform, after))
                self._acknowledged.clear()
                connection.write([piece for piece in found.pieces if not self._seen(piece[0])])
                after = found.last
                if not found.more:
                    break
                await self._stored()
            if connection.go_live():
                return
            after = connection.safe

    async def _stored(self) -> None:
        """Wait until the device has acknowledged everything, but not for ever."""
        if not self._listens:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(ACK_SECONDS):
                while not self.connection.settled:
                    await self._acknowledged.wait()
                    self._acknowledged.clear()

    def _replayed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("node.replay_failed", error=repr(error))
            self._close(frames.FAILED)


def _nothing(identity: bytes) -> bool:
    return False


def uuids(ids: Sequence[str]) -> list[bytes]:
    """Return the ids that are UUIDs, as 16 bytes."""
    found = []
    for text in ids:
        with suppress(ValueError, AttributeError, TypeError):
            found.append(UUID(text).bytes)
    return found
