"""One device's connection: what it was sent, what it has acknowledged, and the replay that goes before live entries."""

from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from delivery import positions
from delivery.node import frames
from delivery.node.counts import counts
from delivery.node.horizon import horizon
from delivery.node.wire import Wire

HELD_LIMIT = 1_000
"""Live entries kept back while a replay runs; more and the device reads them from the log again."""
REMEMBERED = 256
"""Ids of the last entries written, so that a replay and a live entry do not both arrive; a device drops repeats too."""
UNACKNOWLEDGED = 256
"""Frames whose acknowledgement is awaited; of older ones no receipt is written."""
WAITING_LIMIT = 262_144
"""Bytes that may wait for a device that does not read; more and it is told to come back and read its log."""

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
        wire: Wire,
        close: Callable[[int], None],
        catch_up: Callable[[], None],
    ) -> None:
        self.device = device
        self.subscriber = subscriber
        self.application = application
        self.platform = platform
        self.wire = wire
        self.close = close
        self.catch_up = catch_up
        self.seq = 0
        self.replaying = True
        self.overrun = False
        self.safe = positions.START
        """Everything up to here was written, or stood in the log before this connection."""
        self.behind = False
        """Something may have passed by: until its log is read again, its cursor stays where it is."""
        self._given_up = False
        self._held: list[Piece] = []
        self._unacknowledged: deque[tuple[int, list[bytes], bytes, bytes]] = deque(maxlen=UNACKNOWLEDGED)
        self._written: dict[bytes, None] = {}

    def send(self, payload: bytes) -> None:
        """Write a frame, unless the device reads so slowly that it is better off with its log."""
        if self._given_up:
            return  # a frame is missing: none may follow, though it reads again
        if self.wire.waiting <= WAITING_LIMIT:
            self.wire.write(payload)
        else:
            self._given_up = True
            counts["given_up"] += 1
            self.wire.write(frames.RESYNC)
            self.close(frames.TRY_AGAIN_LATER)

    def deliver(self, pieces: Sequence[Piece]) -> None:
        """Write live entries, or keep them back until the replay is done."""
        if not self.replaying:
            self.write(pieces)
        elif len(self._held) + len(pieces) > HELD_LIMIT:
            self.overrun = True
        else:
            self._held.extend(pieces)

    def write(self, pieces: Sequence[Piece]) -> None:
        """Write entries as one frame, without those written before."""
        written = self._written
        fresh = [piece for piece in pieces if piece[0] not in written]
        if not fresh:
            return
        self.seq += 1
        ids = [piece[0] for piece in fresh]
        written.update(dict.fromkeys(ids))
        while len(written) > REMEMBERED:
            del written[next(iter(written))]
        places = [piece[1] for piece in fresh]
        last = max(places)
        self._unacknowledged.append((self.seq, ids, min(places), last))
        self.send(frames.entries(self.seq, [piece[2] for piece in fresh], self._reach(last)))

    def _reach(self, last: bytes) -> bytes:
        """Move the cursor on for a frame whose last position is `last`; return its text."""
        if self.behind:
            return positions.encode(self.safe).encode()
        horizon.refresh()
        reached, text = horizon.place, horizon.text
        if last < reached:
            reached, text = last, b""
        if reached < self.safe:
            reached, text = self.safe, b""
        self.safe = reached
        return text or positions.encode(reached).encode()

    def go_live(self) -> bool:
        """Write what was kept back during the replay; return False when some of it must be read from the log."""
        if self.overrun:
            self.overrun = False
            self._held.clear()
            return False
        held, self._held = self._held, []
        self.replaying = False
        self.write(held)
        return True

    def read_again(self) -> bool:
        """Hold live entries back for another replay; return False when the one that runs will see to it."""
        self.behind = False
        if self.replaying:
            self.overrun = True
            return False
        self.replaying = True
        return True

    def acknowledge(self, seq: int) -> tuple[list[bytes], bytes | None]:
        """Return the ids that an acknowledgement up to `seq` covers, and the low-water mark after it.

        Everything up to the mark is stored on the device: it stands before what is not acknowledged
        yet, for live entries may come out of order. None: nothing was covered.
        """
        pending = self._unacknowledged
        ids: list[bytes] = []
        mark = None
        while pending and pending[0][0] <= seq:
            _, some, _, last = pending.popleft()
            ids += some
            mark = last if mark is None else max(mark, last)
        if mark is not None and pending:
            mark = min(mark, positions.before(min([first for _, _, first, _ in pending])))
        return ids, mark

    def end(self) -> None:
        """Let go of the line, which is gone: a ring of references would keep both until Python looks for such."""
        self.close, self.catch_up = _ignore, _nothing

    @property
    def settled(self) -> bool:
        """Whether everything written is acknowledged."""
        return not self._unacknowledged


def _ignore(code: int) -> None:
    return None


def _nothing() -> None:
    return None
