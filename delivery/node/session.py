"""A device that has shown its token, whatever it came with: register presence, replay from its cursor, then live."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from delivery import positions, reading, receipts
from delivery.node import frames, lookups
from delivery.node.acknowledgements import Acknowledgements
from delivery.node.connection import Connection, Piece
from delivery.node.table import Node
from delivery.node.wire import Wire
from devices.tokens import Identity

log = structlog.get_logger(__name__)

ACK_SECONDS = 30.0
"""How long a replay waits for the acknowledgement of a frame before it sends the next."""
STALLED_SECONDS = 10.0
"""How long a device may take no byte of what waits for it during a replay."""
FRAME_BYTES = 65_536
"""Of a replay's frame; what is larger goes as several, unless it is one entry."""
LOOK_EVERY = 0.05
"""Seconds between two looks whether a line that acknowledges nothing has taken what it was given."""

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
        self._acknowledges = listens
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
                self.connection.send(frames.error("The cursor was not understood.", str(error)))
        # presence first, then the log: an entry that is written in between arrives live
        await self._node.add(self.connection)
        if after is None:
            after = await lookups.durable_cursor(self.identity.device_uid)
        recovered = reading.reaches_back(after)
        if not recovered:
            after = reading.oldest(time.time())
        self.connection.safe = after
        self.connection.greet(
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
        self._acknowledges = True
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
        try:
            await lookups.record(self.identity.subscriber_uid, self.identity.device_uid, items, kind)
        except receipts.ReceiptError as error:
            self._wire.write(frames.error("The receipt was refused.", str(error)))

    # -- the replay

    def _replay_from(self, after: bytes) -> None:
        self._replaying = asyncio.get_running_loop().create_task(self._replay(after))
        self._replaying.add_done_callback(self._replayed)

    async def _replay(self, after: bytes) -> None:
        """Write what the log holds behind a position, frame by frame, then let live entries through."""
        connection = self.connection
        while True:
            while True:
                found = await lookups.replay((connection.subscriber, connection.platform, after))
                after = found.last
                *frames_before, last = _parts([piece for piece in found.pieces if not self._seen(piece[0])])
                for part in frames_before:
                    connection.write(part)
                    await self._stored()
                connection.write(last)
                if not found.more:
                    break
                await self._stored()
            if connection.go_live():
                return
            after = connection.safe

    async def _stored(self) -> None:
        """Wait until the device has acknowledged everything, but not for ever.

        One that acknowledges nothing is waited for as long as it takes to hand over what it was given; one that takes
        nothing either is given up.
        """
        before, since = self._wire.waiting, time.monotonic()
        if self._acknowledges:
            with suppress(TimeoutError):
                async with asyncio.timeout(ACK_SECONDS):
                    while not self.connection.settled:
                        self._acknowledged.clear()
                        await self._acknowledged.wait()
            self._acknowledges = self.connection.settled
        while not self._acknowledges and (waiting := self._wire.waiting):
            if waiting < before:
                before, since = waiting, time.monotonic()
            elif time.monotonic() - since > STALLED_SECONDS:
                return self.connection.give_up()
            await asyncio.sleep(LOOK_EVERY)

    def _replayed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("node.replay_failed", error=repr(error))
            self._close(frames.FAILED)


def _parts(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of a frame each; one list at least, which may be empty."""
    part: list[Piece] = []
    size = 0
    for piece in pieces:
        size += len(piece[2])
        if part and size > FRAME_BYTES:
            yield part
            part, size = [], len(piece[2])
        part.append(piece)
    yield part


def _nothing(identity: bytes) -> bool:
    return False


def uuids(ids: Sequence[str]) -> list[bytes]:
    """Return the ids that are UUIDs, as 16 bytes."""
    found = []
    for text in ids:
        with suppress(ValueError, AttributeError, TypeError):
            found.append(UUID(text).bytes)
    return found
