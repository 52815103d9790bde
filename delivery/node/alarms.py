"""Deadlines of a node's lines, in one heap: a timer for each of ten thousand would cost more than all of this."""

import asyncio
import heapq
import itertools
import time
from typing import Protocol

TICK = 0.25


class Watched(Protocol):
    """A line that has deadlines."""

    def look(self, now: float) -> float | None:
        """Do what is due at `now` (monotonic seconds); return when to look again, None for never."""
        ...


class _Alarm:
    """When to look at a line; `line` is None once it is forgotten."""

    __slots__ = ("at", "line", "number")

    def __init__(self, at: float, number: int, line: Watched) -> None:
        self.at = at
        self.number = number
        self.line: Watched | None = line

    def __lt__(self, other: "_Alarm") -> bool:
        return (self.at, self.number) < (other.at, other.number)


class Alarms:
    """Looks at each line when its time has come, a quarter of a second late at the most."""

    def __init__(self) -> None:
        self._heap: list[_Alarm] = []
        self._of: dict[Watched, _Alarm] = {}
        self._numbers = itertools.count()

    def set(self, at: float, line: Watched) -> None:
        """Look at a line at an instant (monotonic seconds), and not when it was to be looked at before."""
        self.forget(line)
        alarm = self._of[line] = _Alarm(at, next(self._numbers), line)
        heapq.heappush(self._heap, alarm)

    def forget(self, line: Watched) -> None:
        """Look at a line no more; nothing is kept of it."""
        alarm = self._of.pop(line, None)
        if alarm is not None:
            alarm.line = None

    def ring(self, now: float) -> None:
        """Look at every line whose time has come."""
        while self._heap and self._heap[0].at <= now:
            alarm = heapq.heappop(self._heap)
            if alarm.line is None:
                continue
            again = alarm.line.look(now)
            # it may have been set anew, or forgotten, by what it did
            if alarm.line is not None and self._of.get(alarm.line) is alarm:
                del self._of[alarm.line]
                if again is not None:
                    self.set(max(again, now + TICK), alarm.line)

    async def run(self) -> None:
        """Ring for ever."""
        while True:
            self.ring(time.monotonic())
            await asyncio.sleep(TICK)
