"""How far a device's cursor may go: behind it stands nothing that the device was not given.

An entry may be committed W after its stamp, and is then handed over at once (`delivery/sockets.py` stamps what is late
anew). So everything before W and a skew ago was written to its device, if this node has worked all that it was handed
by now and nothing passed it by. Both are noted here, each by whoever sees to it; the oldest note counts.
"""

import time

from delivery import positions

KEPT_SECONDS = 0.25
"""It is made anew so often for all connections, as most frames carry it."""


class Horizon:
    """The place up to which cursors may go, and its text."""

    def __init__(self) -> None:
        self.place = positions.START
        self.text = b""
        self._kept_until = 0.0
        self._in_order: dict[str, float] = {}

    def in_order(self, what: str, until: float) -> None:
        """Note that nothing is missing of what came over `what` until an instant (epoch seconds)."""
        self._in_order[what] = max(until, self._in_order.get(what, until))

    def refresh(self) -> None:
        """Move on to where the notes allow."""
        now = time.time()
        if self._kept_until - KEPT_SECONDS <= now < self._kept_until:
            return
        self._kept_until = now + KEPT_SECONDS
        known = min([now, *self._in_order.values()])
        self.place = positions.floor(known - positions.COMMIT_WINDOW - positions.CLOCK_SKEW)
        self.text = positions.encode(self.place).encode()


horizon = Horizon()
