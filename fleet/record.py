"""What arrived, when, how often and for whom, and what each phone shows: the one record of the fleet."""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fleet.tallies import Tallies, Tally
from fleet.texts import Names, TextArena

_NONE = -1
_ITSELF = -1
_OWN_EACH = -2
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


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
    """Arrivals in columns, about 300 bytes a message with everything.

    One thread uses it. Rows are numbered in order of first arrival and never removed but by `forget`.
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
        self._rows: dict[int | tuple[int, str], int] = {}
        self._wearers: dict[int, int] = {}
        self._odd_ids: dict[int, str] = {}
        self._last_of_device = array("i")
        self._device = array("I")
        self._run = array("I")
        self._id = bytearray()
        self._times = array("I")
        self._first_at = array("Q")
        self._last_at = array("Q")
        self._identity = array("i")
        self._text = array("Q")
        self._shown = bytearray()
        self._replaced = array("I")
        self._previous = array("i")
        self._unnamed = 0

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
    ) -> bool:
        """Take one accepted message down; return whether it is the device's first of that notification.

        Without `notification` the message equals no other. Without `identity` it replaces none.
        """
        now = int(self._clock() * 1000)
        if not notification:
            self._unnamed += 1
            notification = f"unnamed-{self._unnamed}"
        key, packed = _key(device, notification)
        row = self._rows.get(key, _NONE)
        is_new = row == _NONE
        run_number = self._runs.number(run)
        if is_new:
            row = self._append(device, run_number, notification, packed, now)
            self._rows[key] = row
        else:
            self._times[row] += 1
            self._last_at[row] = now
        replaced = False
        if visible:
            replaced = self._show(row, device, notification, identity, title + "\0" + body, again=not is_new)
        self.tallies.count(provider, run_number, device, now=now, is_new=is_new, replaced=replaced)
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
        self._id += packed or bytes(16)
        self._times.append(1)
        self._first_at.append(now)
        self._last_at.append(now)
        self._identity.append(_OWN_EACH)
        self._text.append(0)
        self._shown.append(0)
        self._replaced.append(0)
        return row

    def _show(
        self, row: int, device: int, notification: str, identity: str, text: str, *, again: bool
    ) -> bool:
        """Put a row on the screen; return whether a notice gave way to it."""
        self._text[row] = self._texts.put(text)
        if not identity:
            self._identity[row] = _OWN_EACH
            self._shown[row] = 1
            return False
        before = self._wearer(device, identity, itself=identity == notification)
        if before is None and identity == notification and again:
            before = row
        replaced = before is not None and self._shown[before] == 1
        if before is not None and replaced:
            self._replaced[row] = self._replaced[before] + 1
            if before != row:
                self._shown[before] = 0
        if identity == notification:
            self._identity[row] = _ITSELF
        else:
            self._identity[row] = self._identities.number(identity)
            self._wearers[device << 32 | self._identity[row]] = row
        self._shown[row] = 1
        return replaced

    def _wearer(self, device: int, identity: str, *, itself: bool) -> int | None:
        """Return the row of the device that wears this display identity.

        With `itself` the identity is the new row's own id, so that only rows of other ids are looked for.
        """
        number = self._identities.known(identity)
        if number is not None:
            row = self._wearers.get(device << 32 | number)
            if row is not None and self._shown[row] and self._identity[row] == number:
                return row
        if itself:
            return None
        row = self._rows.get(_key(device, identity)[0])
        return row if row is not None and self._identity[row] == _ITSELF else None

    def take_down(self, device: int, run: str) -> int:
        """Take a recalled run's notices off a screen; return how many there were."""
        number = self._runs.known(run)
        taken = 0
        for row in self._rows_of(device):
            if self._run[row] == number and self._shown[row]:
                self._shown[row] = 0
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
            return self.tallies.get(number, provider)
        tally = Tally()
        for device in set(devices):
            rows = [row for row in self._rows_of(device) if number is None or self._run[row] == number]
            for row in rows:
                tally.add(
                    Tally(
                        accepted=self._times[row],
                        distinct_messages=1,
                        devices=0,
                        replaced=self._replaced[row] if self._shown[row] else 0,
                        first_at=self._first_at[row],
                        last_at=self._last_at[row],
                    )
                )
            tally.devices += bool(rows)
        return tally

    def _rows_of(self, device: int) -> Iterator[int]:
        row = self._last_of_device[device] if device < len(self._last_of_device) else _NONE
        while row != _NONE:
            yield row
            row = self._previous[row]

    def _arrival(self, row: int) -> Arrival:
        notification = self._odd_ids.get(row) or _unpack(self._id[row * 16 : row * 16 + 16])
        code = self._identity[row]
        identity = notification if code == _ITSELF else self._identities.name(code) if code >= 0 else ""
        has_text = bool(self._shown[row]) or code != _OWN_EACH
        title, _, body = self._texts.get(self._text[row]).partition("\0") if has_text else ("", "", "")
        return Arrival(
            device=self._device[row],
            run=self._runs.name(self._run[row]),
            notification=notification,
            times=self._times[row],
            first_at=self._first_at[row],
            last_at=self._last_at[row],
            identity=identity,
            title=title,
            body=body,
            shown=bool(self._shown[row]),
            replaced=self._replaced[row],
        )


def _key(device: int, notification: str) -> tuple[int | tuple[int, str], bytes | None]:
    """Return the key of a message: one integer where the id is a UUID, a third of the memory."""
    if _CANONICAL_UUID(notification):
        packed = bytes.fromhex(notification.replace("-", ""))
        return device << 128 | int.from_bytes(packed, "big"), packed
    return (device, notification), None


def _unpack(packed: bytes | bytearray) -> str:
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
