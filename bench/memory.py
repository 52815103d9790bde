"""The resident memory of a hub's processes while a run goes on, by how much has arrived."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import meter
from bench.report import Memory

SECONDS = 1.0
"""Between two looks."""
SETTLED = 100_000
"""Messages after which memory is to stay as it is."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int, proc: Path = meter.PROC) -> int:
    """Return a process's resident bytes (proc(5): the second field of statm), 0 when it is gone."""
    try:
        return int((proc / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def look(roots: Iterable[int], name: meter.Names) -> dict[str, int]:
    """Return the resident bytes of trees of processes by `name#pid`; servers and what is gone are left out."""
    found = {}
    for process in meter.tree(meter.table(), roots):
        part = name(process.pid)
        if part not in (meter.REDIS, meter.GONE) and (size := resident(process.pid)):
            found[f"{part}#{process.pid}"] = size
    return found


class Watch:
    """A context in which memory is looked at every second, by a thread; `seen` has what it saw."""

    def __init__(self, supervisor: int, arrived: Callable[[], int]) -> None:
        self.seen: list[Memory] = []
        self._supervisor = supervisor
        self._arrived = arrived
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.seen.append(Memory(self._arrived(), look([self._supervisor], meter.role)))
            if self._over.wait(SECONDS):
                return


def growth(seen: Sequence[Memory], *, after: int = SETTLED) -> dict[str, float]:
    """Return, for every process, its largest size from `after` messages on over its size then.

    A process that began later, or was gone by then, is left out.
    """
    late = [each for each in seen if each.arrived >= after]
    if not late:
        return {}
    return {
        part: max(each.resident.get(part, 0) for each in late) / size
        for part, size in late[0].resident.items()
    }
