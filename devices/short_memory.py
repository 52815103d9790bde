"""A memory of a second: what a process may know about keys without asking the database again."""

import time
from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ShortMemory(Generic[Value]):
    """Values by text key, each forgotten after `seconds`; the oldest go first when there are too many."""

    def __init__(self, *, seconds: float = 1.0, size: int = 1_000) -> None:
        self.seconds = seconds
        self.size = size
        self._lock = Lock()
        self._held: OrderedDict[str, tuple[float, Value]] = OrderedDict()

    def get(self, key: str) -> Value | None:
        """Return what was put under a key at most `seconds` ago."""
        with self._lock:
            deadline, value = self._held.get(key, (0.0, None))
        return value if deadline > time.monotonic() else None

    def put(self, key: str, value: Value) -> None:
        with self._lock:
            self._held[key] = (time.monotonic() + self.seconds, value)
            self._held.move_to_end(key)
            while len(self._held) > self.size:
                self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
