"""How long something took to mend, and how much of that the hub's processes had to wait for a core.

What is promised is about the hub; a machine that is busy with something else is no fault of it.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil


@dataclass(frozen=True)
class Recovery:
    """Seconds from a fault to its end, and of these the longest that a process of the hub had to wait for a core."""

    seconds: float
    waited: float

    @property
    def own(self) -> float:
        """The seconds that it took the hub."""
        return self.seconds - self.waited


class Watch:
    """A stopwatch that also looks at what the processes below this one wait."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._waited = _waited()

    @classmethod
    def started(cls, began: float) -> Self:
        """Return a watch that runs since an instant but looks at the processes only from now on."""
        made = cls()
        made.began = began
        return made

    def stop(self) -> Recovery:
        now = _waited()
        longest = max((seconds - self._waited.get(pid, 0.0) for pid, seconds in now.items()), default=0.0)
        return Recovery(time.monotonic() - self.began, longest)


def _waited() -> dict[int, float]:
    """Return how long the threads of each process below this one have been ready to run without a core."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        try:
            threads = list(Path(f"/proc/{child.pid}/task").iterdir())
            # Linux, Documentation/scheduler/sched-stats.rst: time on a core, time waiting for one (ns), slices
            delays = [int((thread / "schedstat").read_text().split()[1]) for thread in threads]
        except OSError:
            continue  # it has just ended
        found[child.pid] = sum(delays) / 1e9
    return found
