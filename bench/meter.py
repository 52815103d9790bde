"""The CPU time that processes have used, with all their descendants, alive and reaped (`/proc`, Linux)."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
REDIS = "redis"
GONE = "gone"


@dataclass(frozen=True)
class Process:
    """One row of the process table; `seconds` of CPU include its children that have ended and been waited for."""

    pid: int
    parent: int
    seconds: float


def parse(stat: str, *, ticks: int = _TICKS) -> Process:
    """Return what `/proc/<pid>/stat` says (proc(5): parent is field 4, utime to cstime 14 to 17)."""
    # The name in parentheses may hold spaces and parentheses itself: the fields begin behind the last one.
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    return Process(
        pid=int(head.split(" ", 1)[0]), parent=int(fields[1]), seconds=sum(map(int, fields[11:15])) / ticks
    )


def table(proc: Path = PROC) -> list[Process]:
    """Return all processes there are now."""
    rows = []
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                rows.append(parse((folder / "stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                # It ended between the listing and the reading; its time is its parent's when that has waited for it.
                continue
    return rows


def tree(rows: Iterable[Process], roots: Iterable[int]) -> list[Process]:
    """Return the processes of `roots` and all that descend from them."""
    by_parent: dict[int, list[Process]] = {}
    by_pid = {}
    for row in rows:
        by_parent.setdefault(row.parent, []).append(row)
        by_pid[row.pid] = row
    waiting = [by_pid[root] for root in roots if root in by_pid]
    found: dict[int, Process] = {}
    while waiting:
        row = waiting.pop()
        if row.pid not in found:
            found[row.pid] = row
            waiting += by_parent.get(row.pid, [])
    return list(found.values())


def busy(proc: Path = PROC) -> float:
    """Return the CPU seconds that this machine has spent on anything since it started (proc(5), `cpu` of stat).

    What a hypervisor took for other machines ("steal") is among them.
    """
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS


def role(pid: int) -> str:
    """Return which part of a hub a process is (`NOTIFYHUB_ROLE` of its environment), else `serve`."""
    try:
        # Redis writes its title over its environment.
        if (PROC / str(pid) / "comm").read_text().strip() in ("redis-server", "valkey-server"):
            return REDIS
        environment = (PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return GONE
    for pair in environment.split(b"\0"):
        if pair.startswith(b"NOTIFYHUB_ROLE="):
            return pair.partition(b"=")[2].decode()
    return "serve"


Names = Callable[[int], str]


class Meter:
    """Reads the CPU of some trees of processes, summed by a name for each process."""

    def __init__(self, roots: Iterable[int], *, name: Names) -> None:
        self._roots = tuple(roots)
        self._name = name

    def read(self) -> dict[str, float]:
        """Return seconds of CPU by name, since each process began."""
        sums: defaultdict[str, float] = defaultdict(float)
        for process in tree(table(), self._roots):
            sums[self._name(process.pid)] += process.seconds
        return dict(sums)


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what was used between two readings, by name; who used nothing is left out."""
    used = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in before.keys() | after.keys()}
    return {name: round(seconds, 3) for name, seconds in sorted(used.items()) if seconds > 0}
