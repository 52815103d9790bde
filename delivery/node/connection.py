"""One device's connection: what it was sent, what it has acknowledged, and the replay that goes before live entries."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from delivery import positions
from delivery.node import frames

HELD_LIMIT = 1_000
"""Live entries kept back while a replay runs; more and the device reads them from the log again."""
REMEMBERED = 2_000
"""Ids of the last entries written, so that a replay and a live entry do not both arrive."""

Piece = tuple[bytes, bytes, bytes]
"""A notification's id (16 bytes), its position (16 bytes) and its entry as JSON text."""


class Connection:
    """A device's open WebSocket in its node's table."""

    def __init__(
        self,
        *,
        device: bytes,
        subscriber: UUID,
        application: str,
        platform: str,
        issued_at: float,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        catch_up: Callable[[], None],
    ) -> None:
        self.device = device
        self.subscriber = subscriber
        self.application = application
        self.platform = platform
        self.issued_at = issued_at
        self.send = send
        self.close = close
        self.catch_up = catch_up
        self.seq = 0
        self.replaying = True
        self.overrun = False
        self.safe = positions.START
        """Everything up to here was written, or stood in the log before this connection."""
        self._held: list[Piece] = []
        self._unacknowledged: deque[tuple[int, list[bytes], bytes]] = deque()
        self._written: dict[bytes, None] = {}

    async def deliver(self, pieces: Sequence[Piece]) -> None:
        """Write live entries, or keep them back until the replay is done."""
        if self.replaying:
            if len(self._held) + len(pieces) > HELD_LIMIT:
                self.overrun = True
            else:
                self._held.extend(pieces)
            return
        await self.write(pieces)

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Write entries as one frame, without those written before."""
        fresh = [piece for piece in pieces if piece[0] not in self._written]
        if not fresh:
            return
        self.seq += 1
        for identity, _, _ in fresh:
            self._written[identity] = None
        while len(self._written) > REMEMBERED:
            del self._written[next(iter(self._written))]
        last = max(place for _, place, _ in fresh)
        self._unacknowledged.append((self.seq, [identity for identity, _, _ in fresh], last))
        cursor = positions.cursor(last, time.time())
        self.safe = max(self.safe, positions.decode(cursor))
        await self.send(frames.entries(self.seq, [entry for _, _, entry in fresh], cursor))

    async def go_live(self) -> bool:
        """Write what was kept back during the replay; return False when some of it must be read from the log."""
        if self.overrun:
            self.overrun = False
            self._held.clear()
            return False
        held, self._held = self._held, []
        self.replaying = False
        await self.write(held)
        return True

    def read_again(self) -> bool:
        """Hold live entries back for another replay; return False when the one that runs will see to it."""
        if self.replaying:
            self.overrun = True
            return False
        self.replaying = True
        return True

    def acknowledge(self, seq: int) -> tuple[list[bytes], bytes | None]:
        """Return the ids that an acknowledgement up to `seq` covers, and the position it reaches."""
        ids: list[bytes] = []
        reached = None
        while self._unacknowledged and self._unacknowledged[0][0] <= seq:
            _, some, reached = self._unacknowledged.popleft()
            ids.extend(some)
        return ids, reached

    @property
    def settled(self) -> bool:
        """Whether everything written is acknowledged."""
        return not self._unacknowledged
