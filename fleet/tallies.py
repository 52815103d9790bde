"""Counts by run and provider, kept while messages arrive; and those who wait for one to be reached."""

from __future__ import annotations

import asyncio
from array import array
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


class Marks:
    """A set of device numbers, one bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.count = 0

    def put(self, devices: array[int], rows: array[int]) -> None:
        """Mark the devices of these rows."""
        bits = self._bits
        for row in rows:
            device = devices[row]
            place, bit = device >> 3, 1 << (device & 7)
            if place >= len(bits):
                bits.extend(bytes(place + 1 - len(bits)))
            if not bits[place] & bit:
                bits[place] |= bit
                self.count += 1


class Counter:
    """The counts of one run at one provider, and the rows of its messages in order of arrival.

    Which devices they are for is looked at only when somebody asks, and then only for what is new.
    """

    __slots__ = ("accepted", "first_at", "last_at", "marked", "marks", "replaced", "rows", "summed")

    def __init__(self) -> None:
        self.accepted = 0
        self.replaced = 0
        self.first_at: int | None = None
        self.last_at: int | None = None
        self.rows = array("I")
        self.marks = Marks()
        self.marked = 0
        self.summed = 0

    def tally(self, devices: array[int]) -> Tally:
        """Return the counts now; `devices` has the device of every row."""
        self.marks.put(devices, self.rows[self.marked :])
        self.marked = len(self.rows)
        return Tally(
            self.accepted,
            len(self.rows),
            self.marks.count,
            self.accepted - len(self.rows),
            self.replaced,
            self.first_at,
            self.last_at,
        )


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
        self._counters: dict[tuple[int, str], Counter] = {}
        self._everybody: dict[str, Marks] = {}
        self._waiters: list[_Waiter] = []

    def clear(self) -> None:
        """Forget all counts."""
        self._counters.clear()
        self._everybody.clear()
        for waiter in self._waiters:
            waiter.missing = waiter.at_least

    def count(self, provider: str, run: int, row: int, *, now: int, is_new: bool, replaced: bool) -> None:
        """Count one arrival and wake whoever has waited for it."""
        counter = self._counters.get((run, provider))
        if counter is None:
            counter = self._counters[run, provider] = Counter()
            counter.first_at = now
        counter.accepted += 1
        counter.last_at = now
        if is_new:
            counter.rows.append(row)
        if replaced:
            counter.replaced += 1
        if self._waiters:
            for waiter in self._waiters:
                waiter.notice()

    def counters(self, run: int, provider: str | None) -> list[Counter]:
        """Return a run's counters, of one provider or all."""
        names = PROVIDERS if provider is None else (provider,)
        return [self._counters[run, name] for name in names if (run, name) in self._counters]

    def distinct(self, run: int | None, provider: str | None) -> int:
        """Return how many different messages came of a run (None: all) at a provider (None: all)."""
        return sum(
            len(counter.rows)
            for (number, name), counter in self._counters.items()
            if run in (None, number) and provider in (None, name)
        )

    def get(self, run: int | None, provider: str | None, devices: array[int]) -> Tally:
        """Return the counts of a run (None: all) at a provider (None: all)."""
        tally = Tally()
        for name in PROVIDERS if provider is None else (provider,):
            if run is None:
                tally.add(self._overall(name, devices))
            elif (run, name) in self._counters:
                tally.add(self._counters[run, name].tally(devices))
        return tally

    def _overall(self, provider: str, devices: array[int]) -> Tally:
        """Sum up all runs; a device that had several of them counts once."""
        marks = self._everybody.setdefault(provider, Marks())
        tally = Tally()
        for (_, name), counter in self._counters.items():
            if name != provider:
                continue
            marks.put(devices, counter.rows[counter.summed :])
            counter.summed = len(counter.rows)
            own = Tally(counter.accepted, len(counter.rows), replaced=counter.replaced)
            own.first_at, own.last_at = counter.first_at, counter.last_at
            tally.add(own)
        tally.devices = marks.count
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
