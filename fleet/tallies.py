"""Running counts of what arrived, by run and provider, with those who wait for a count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from fleet.devices import PROVIDERS


class Tally(msgspec.Struct):
    """Counts of one choice of arrivals.

    `repeats`: the same notification for the same device again. `replaced`: a notice on screen gave way to
    one of the same display identity. `first_at`, `last_at`: milliseconds since the epoch, None before any.
    """

    accepted: int = 0
    distinct_messages: int = 0
    devices: int = 0
    repeats: int = 0
    replaced: int = 0
    first_at: int | None = None
    last_at: int | None = None

    def add(self, other: Tally) -> None:
        """Count the other's arrivals too; the two must not share devices."""
        self.accepted += other.accepted
        self.distinct_messages += other.distinct_messages
        self.devices += other.devices
        self.repeats += other.accepted - other.distinct_messages
        self.replaced += other.replaced
        if other.first_at is not None and (self.first_at is None or other.first_at < self.first_at):
            self.first_at = other.first_at
        if other.last_at is not None and (self.last_at is None or other.last_at > self.last_at):
            self.last_at = other.last_at


class _Counter:
    """A tally and the devices it has seen, one bit each."""

    __slots__ = ("seen", "tally")

    def __init__(self) -> None:
        self.tally = Tally()
        self.seen = bytearray()

    def count(self, device: int, *, now: int, is_new: bool, replaced: bool) -> None:
        tally = self.tally
        tally.accepted += 1
        tally.last_at = now
        if tally.first_at is None:
            tally.first_at = now
        if replaced:
            tally.replaced += 1
        if not is_new:
            tally.repeats += 1
            return
        tally.distinct_messages += 1
        place, bit = device >> 3, 1 << (device & 7)
        if place >= len(self.seen):
            self.seen.extend(bytes(place + 1 - len(self.seen)))
        if not self.seen[place] & bit:
            self.seen[place] |= bit
            tally.devices += 1


class _Waiter:
    """Someone who waits for a count; it is looked up only when enough has arrived to reach it."""

    __slots__ = ("at_least", "event", "have", "missing")

    def __init__(self, have: Callable[[], int], at_least: int) -> None:
        self.have = have
        self.at_least = at_least
        self.missing = at_least - have()
        self.event = asyncio.Event()

    def notice(self) -> None:
        self.missing -= 1
        if self.missing <= 0:
            self.missing = self.at_least - self.have()
            if self.missing <= 0:
                self.event.set()


class Tallies:
    """Counts kept while messages arrive, so that asking is cheap; `run` is the number of a run."""

    def __init__(self) -> None:
        self._counters: dict[tuple[int | None, str], _Counter] = {}
        self._waiters: list[_Waiter] = []

    def clear(self) -> None:
        """Forget all counts."""
        self._counters.clear()
        for waiter in self._waiters:
            waiter.missing = waiter.at_least

    def count(self, provider: str, run: int, device: int, *, now: int, is_new: bool, replaced: bool) -> None:
        """Count one arrival and wake whoever has waited for it."""
        for key in ((None, provider), (run, provider)):
            counter = self._counters.get(key)
            if counter is None:
                counter = self._counters[key] = _Counter()
            counter.count(device, now=now, is_new=is_new, replaced=replaced)
        for waiter in self._waiters:
            waiter.notice()

    def get(self, run: int | None, provider: str | None) -> Tally:
        """Return a copy of the counts of a run (None: all) at a provider (None: all)."""
        tally = Tally()
        for name in PROVIDERS if provider is None else (provider,):
            counter = self._counters.get((run, name))
            if counter is not None:
                tally.add(counter.tally)
        return tally

    async def wait(self, have: Callable[[], int], *, at_least: int, timeout: float) -> bool:
        """Wait until `have()` reaches `at_least`; return whether it did within `timeout` seconds.

        One arrival may raise the count by one at most.
        """
        waiter = _Waiter(have, at_least)
        if waiter.missing <= 0:
            return True
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter.event.wait()
        except TimeoutError:
            return have() >= at_least
        finally:
            self._waiters.remove(waiter)
        return True
