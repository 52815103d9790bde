"""Whether a node lets another line in, asked before anything is done for it that costs something."""

import random
from collections import Counter

import msgspec

LOCAL = frozenset({"127.0.0.1", "::1", ""})
"""A proxy on this machine, or none that says whom it speaks for: these are not counted by address."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a line is not let in, and after how many seconds it may ask again (drawn, so that not all come at once)."""

    reason: str
    retry_after: int


class Admission:
    """Counts a node's lines: all, those that have shown no token yet, and those of each address."""

    def __init__(self, *, most: int, opening: int, per_address: int) -> None:
        self.most = most
        self.most_opening = opening
        self.per_address = per_address
        self.leaving = False
        self.lines = 0
        self.opening = 0
        self.refused: Counter[str] = Counter()
        self._of: Counter[str] = Counter()

    def ask(self, address: str) -> Refusal | None:
        """Return why a line from an address may not come in now; None: it may, and is counted."""
        if self.leaving:
            return self._refuse("leaving", 1, 5)
        if self.lines >= self.most:
            return self._refuse("full", 5, 30)
        if self.opening >= self.most_opening:
            return self._refuse("crowded", 1, 5)
        if address not in LOCAL and self._of[address] >= self.per_address:
            return self._refuse("address", 30, 90)
        self.lines += 1
        self.opening += 1
        self._of[address] += 1
        return None

    def opened(self) -> None:
        """Note that a line has shown its token."""
        self.opening -= 1

    def gone(self, address: str, *, opened: bool) -> None:
        """Forget a line that was let in."""
        self.lines -= 1
        if not opened:
            self.opening -= 1
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]

    def _refuse(self, reason: str, least: int, most: int) -> Refusal:
        self.refused[reason] += 1
        return Refusal(reason, random.randint(least, most))
