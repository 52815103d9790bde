"""What arrived, when, how often and for whom, and what each phone shows: the one record of the fleet."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fleet.tallies import Tallies, Tally
from fleet.texts import Names, TextArena

MOST_MESSAGES = 8_000_000
"""So many are remembered; what comes later is counted in `unrecorded` alone."""
_NONE = -1
# What a row's flags say: on screen now; has a text; its display identity is its own id, or a name.
_SHOWN, _TEXT, _ITSELF, _NAMED = 1, 2, 4, 8


class Arrival(NamedTuple):
    """One message (a notification for one device) as the provider or the socket took it.

    `times` counts accepted calls, `first_at` and `last_at` are milliseconds since the epoch.
    `identity` is the display identity, empty where every call makes a notice of its own;
    `replaced` says how often a notice on screen gave way to this one or its predecessors.
    """

    device: int
    run: str
    notification: str
    times: int
    first_at: int
    last_at: int
    identity: str
    title: str
    body: str
    shown: bool
    replaced: int


class Record:
    """Arrivals in columns; README.md says how many bytes a message takes.

    One thread uses it. Rows are numbered in order of first arrival and never removed but by `forget`. What is the same
    for nearly all messages (arrived once, never replaced) takes no room: the exceptions stand in dictionaries by row.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.tallies = Tallies()
        self._start_empty()

    def forget(self) -> None:
        """Forget all arrivals; who waits for a count goes on waiting."""
        self.tallies.clear()
        self._start_empty()

    def _start_empty(self) -> None:
        self._runs = Names()
        self._identities = Names()
        self._texts = TextArena()
        self._rows: dict[bytes | str, int] = {}
        self._wearers: dict[int, int] = {}
        self._odd_ids: dict[int, str] = {}
        self._last_of_device = array("i")
        self._device = array("I")
        self._run = array("I")
        self._id = bytearray()
        self._first_at = array("Q")
        self._text = array("Q")
        self._flags = bytearray()
        self._previous = array("i")
        self._again: dict[int, tuple[int, int]] = {}
        self._name: dict[int, int] = {}
        self._replaced: dict[int, int] = {}
        self._ages: dict[int, array[int]] = {}
        self._unnamed = 0
        self.unrecorded = 0

    def __len__(self) -> int:
        return len(self._device)

    def accept(
        self,
        provider: str,
        device: int,
        *,
        run: str = "",
        notification: str = "",
        identity: str = "",
        title: str = "",
        body: str = "",
        visible: bool = True,
        event_at: int = 0,
    ) -> bool:
        """Take one accepted message down; return whether it is the device's first of that notification.

        Without `notification` the message equals no other. Without `identity` it replaces none. `event_at`
        (milliseconds since the epoch) is when what it tells of happened.
        """
        now = int(self._clock() * 1000)
        run_number = self._runs.number(run)
        if not notification:
            self._unnamed += 1
            notification = f"unnamed-{self._unnamed}"
        packed = _packed(notification)
        key = f"{device} {notification}" if packed is None else device.to_bytes(4, "big") + packed
        row = self._rows.get(key, _NONE)
        is_new = row == _NONE
        if is_new:
            if len(self._device) >= MOST_MESSAGES:
                self.unrecorded += 1
                return True
            row = self._rows[key] = self._append(device, run_number, notification, packed, now)
            if event_at:
                self._ages.setdefault(run_number, array("i")).append(max(0, min(now - event_at, 2**31 - 1)))
        else:
            times, _ = self._again.get(row, (1, now))
            self._again[row] = (times + 1, now)
        replaced = False
        if visible:
            text = self._texts.put(f"{title}\0{body}")
            if is_new and identity == notification and not self._wearers:
                # The usual case: nobody can wear an identity that is this new message's own id.
                self._text[row] = text
                self._flags[row] = _SHOWN | _TEXT | _ITSELF
            else:
                replaced = self._show(row, device, notification, identity, text, again=not is_new)
        self.tallies.count(provider, run_number, row, now=now, is_new=is_new, replaced=replaced)
        return is_new

    def _append(self, device: int, run: int, notification: str, packed: bytes | None, now: int) -> int:
        row = len(self._device)
        if device >= len(self._last_of_device):
            self._last_of_device.extend([_NONE] * (device + 1 - len(self._last_of_device)))
        self._previous.append(self._last_of_device[device])
        self._last_of_device[device] = row
        self._device.append(device)
        self._run.append(run)
        if packed is None:
            self._odd_ids[row] = notification
            packed = bytes(16)
        self._id += packed
        self._first_at.append(now)
        self._text.append(0)
        self._flags.append(0)
        return row

    def _show(
        self, row: int, device: int, notification: str, identity: str, text: int, *, again: bool
    ) -> bool:
        """Put a row on the screen; return whether a notice gave way to it."""
        self._text[row] = text
        if not identity:
            self._flags[row] = _SHOWN | _TEXT
            return False
        itself = identity == notification
        before = None
        if self._wearers or not itself:
            before = self._wearer(device, identity, itself=itself)
        if before is None and itself and again:
            before = row
        replaced = before is not None and bool(self._flags[before] & _SHOWN)
        if before is not None and replaced:
            self._replaced[row] = self._replaced.get(before, 0) + 1
            if before != row:
                self._flags[before] &= ~_SHOWN
        if itself:
            self._flags[row] = _SHOWN | _TEXT | _ITSELF
        else:
            self._flags[row] = _SHOWN | _TEXT | _NAMED
            number = self._name[row] = self._identities.number(identity)
            self._wearers[device << 32 | number] = row
        return replaced

    def _wearer(self, device: int, identity: str, *, itself: bool) -> int | None:
        """Return the row of the device that wears this display identity.

        With `itself` the identity is the new row's own id, so that only rows of other ids are looked for.
        """
        number = self._identities.known(identity)
        if number is not None:
            row = self._wearers.get(device << 32 | number)
            worn = _SHOWN | _NAMED
            if row is not None and self._flags[row] & worn == worn and self._name[row] == number:
                return row
        if itself:
            return None
        packed = _packed(identity)
        key = f"{device} {identity}" if packed is None else device.to_bytes(4, "big") + packed
        row = self._rows.get(key)
        return row if row is not None and self._flags[row] & _ITSELF else None

    def take_down(self, device: int, run: str) -> int:
        """Take a recalled run's notices off a screen; return how many there were."""
        number = self._runs.known(run)
        taken = 0
        for row in self._rows_of(device):
            if self._run[row] == number and self._flags[row] & _SHOWN:
                self._flags[row] &= ~_SHOWN
                taken += 1
        return taken

    def of_device(self, device: int, run: str | None = None) -> list[Arrival]:
        """Return a device's messages in order of first arrival."""
        number = None if run is None else self._runs.known(run)
        rows = [row for row in self._rows_of(device) if run is None or self._run[row] == number]
        return [self._arrival(row) for row in reversed(rows)]

    def since(self, row: int, *, run: str | None = None, limit: int = 10_000) -> tuple[list[Arrival], int]:
        """Return messages from a row on, and the row to ask from next."""
        number = None if run is None else self._runs.known(run)
        found: list[Arrival] = []
        while row < len(self._device) and len(found) < limit:
            if run is None or self._run[row] == number:
                found.append(self._arrival(row))
            row += 1
        return found, row

    def instants(
        self, run: str, *, after: int = 0, limit: int = 100_000
    ) -> tuple[list[tuple[str, int]], int]:
        """Return (notification, first arrival in ms) of a run's messages, and the `after` to ask with next.

        `after` counts messages of the run, provider by provider.
        """
        number = self._runs.known(run)
        rows = array("I")
        for counter in [] if number is None else self.tallies.counters(number, None):
            rows += counter.rows
        chosen = rows[after : after + limit]
        first_at = self._first_at
        return [(self._id_of(row), first_at[row]) for row in chosen], after + len(chosen)

    def ages(self, run: str | None) -> list[int]:
        """Return the ages (ms, ascending) of a run's messages at first arrival, of those that said when they began."""
        if run is None:
            return sorted(age for ages in self._ages.values() for age in ages)
        number = self._runs.known(run)
        return sorted(self._ages.get(number, ())) if number is not None else []

    def totals(
        self, *, run: str | None = None, provider: str | None = None, devices: list[int] | None = None
    ) -> Tally:
        """Count arrivals, of all or of one run, provider or list of devices.

        A list of devices is counted row by row; its `replaced` is what their screens hold.
        """
        number = None if run is None else self._runs.known(run)
        if run is not None and number is None:
            return Tally()
        if devices is None:
            return self.tallies.get(number, provider, self._device)
        tally = Tally()
        for device in set(devices):
            rows = [row for row in self._rows_of(device) if number is None or self._run[row] == number]
            for row in rows:
                times, last_at = self._again.get(row, (1, self._first_at[row]))
                shown = self._flags[row] & _SHOWN
                tally.add(
                    Tally(
                        accepted=times,
                        distinct_messages=1,
                        replaced=self._replaced.get(row, 0) if shown else 0,
                        first_at=self._first_at[row],
                        last_at=last_at,
                    )
                )
            tally.devices += bool(rows)
        return tally

    def distinct(self, *, run: str | None, provider: str | None) -> int:
        """Count different messages only, which is quicker than `totals`."""
        number = None if run is None else self._runs.known(run)
        return 0 if run is not None and number is None else self.tallies.distinct(number, provider)

    def _rows_of(self, device: int) -> Iterator[int]:
        row = self._last_of_device[device] if device < len(self._last_of_device) else _NONE
        while row != _NONE:
            yield row
            row = self._previous[row]

    def _id_of(self, row: int) -> str:
        return self._odd_ids.get(row) or _unpack(self._id[row * 16 : row * 16 + 16])

    def _arrival(self, row: int) -> Arrival:
        notification = self._id_of(row)
        flags, first_at = self._flags[row], self._first_at[row]
        times, last_at = self._again.get(row, (1, first_at))
        identity = ""
        if flags & _ITSELF:
            identity = notification
        elif flags & _NAMED:
            identity = self._identities.name(self._name[row])
        title, _, body = self._texts.get(self._text[row]).partition("\0") if flags & _TEXT else ("", "", "")
        return Arrival(
            device=self._device[row],
            run=self._runs.name(self._run[row]),
            notification=notification,
            times=times,
            first_at=first_at,
            last_at=last_at,
            identity=identity,
            title=title,
            body=body,
            shown=bool(flags & _SHOWN),
            replaced=self._replaced.get(row, 0),
        )


def _packed(notification: str) -> bytes | None:
    """Return a canonical UUID as its 16 bytes, None for any other id: nearly all are UUIDs, and this is a third."""
    digits = notification.replace("-", "")
    if len(digits) != 32 or len(notification) != 36:
        return None
    try:
        packed = bytes.fromhex(digits)
    except ValueError:
        return None
    dashes = notification[8] == notification[13] == notification[18] == notification[23] == "-"
    return packed if dashes and packed.hex() == digits else None


def _unpack(packed: bytes | bytearray) -> str:
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
