"""So many a minute by key, kept in this process: enough against a script that hammers one page."""

import time
from collections import OrderedDict
from threading import Lock


class Pace:
    """At most `count` in any fixed minute for a key; the oldest of `size` keys are forgotten first."""

    def __init__(self, count: int, *, size: int = 10_000) -> None:
        self.count = count
        self.size = size
        self._lock = Lock()
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Return whether there is room for one more now."""
        minute = int(time.time() // 60)
        with self._lock:
            last, number = self._seen.pop(key, (minute, 0))
            number = number + 1 if last == minute else 1
            self._seen[key] = (minute, number)
            while len(self._seen) > self.size:
                self._seen.popitem(last=False)
        return number <= self.count

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._seen.clear()
