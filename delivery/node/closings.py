"""Ends the lines of whoever may hold none any more: reads the notes that `devices/closing.py` writes."""

import asyncio
import time
from collections.abc import Container
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.utils import timezone

from delivery.node import frames
from delivery.node.database import blocking
from delivery.node.lines import Line, Lines
from devices.models import Closing

LOOK_EVERY = 0.4
"""Seconds; a line ends within a second."""
LOOK_BACK = 20.0
"""Seconds for which a note is read again: those that are committed later may have lower keys."""
AT_ONCE = 500
"""Notes read in one query; notes, and lines, looked at before everything else has its turn."""
KEPT = timedelta(hours=1)
DROP_EVERY = 600.0


class Note(msgspec.Struct, frozen=True):
    """Whose lines must end: a device's, a subscriber's, or those of a signing key's tokens.

    With `before`, only those of tokens that were issued before that instant.
    """

    key: int
    device: UUID | None
    subscriber: UUID | None
    before: datetime | None
    signing_key: int | None = None

    @property
    def about(self) -> UUID | int | None:
        """Whom the note is about."""
        return self.device or self.subscriber or self.signing_key


class Closings:
    """A node's notes, each with when it was seen (monotonic seconds).

    A note is read once and obeyed for `LOOK_BACK`, because a token that was being looked up when the note was
    committed may be believed after it was seen.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._seen: dict[int, tuple[float, Note]] = {}
        """By key, in the order of seeing."""
        self._about: dict[UUID | int | None, list[tuple[float, Note]]] = {}
        """The same by whom they are about: a device, a subscriber, a signing key."""
        self._floor: int | None = None
        self._dropped_at = time.monotonic()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            if self._floor is None:
                self._floor = await _newest_before(timezone.now() - timedelta(seconds=LOOK_BACK))
            notes, now = await _read(self._floor, self._seen), time.monotonic()
            for start in range(0, len(notes) or 1, AT_ONCE):
                self.learn(notes[start : start + AT_ONCE], now)
                await asyncio.sleep(0)
            await self.obey()
            if time.monotonic() - self._dropped_at > DROP_EVERY:
                self._dropped_at = time.monotonic()
                await _drop()
            await asyncio.sleep(LOOK_EVERY)

    def learn(self, notes: list[Note], now: float) -> None:
        """Take notes up, and forget those that were obeyed for long enough."""
        for note in notes:
            if note.key not in self._seen:
                self._seen[note.key] = seen = (now, note)
                self._about.setdefault(note.about, []).append(seen)
        while self._seen:
            key = next(iter(self._seen))
            at, note = self._seen[key]
            if now - at <= LOOK_BACK:
                break
            self._floor = max(self._floor or 0, key)
            del self._seen[key]
            self._about[note.about].pop(0)
            if not self._about[note.about]:
                del self._about[note.about]

    async def obey(self) -> None:
        """Close every line that a note is about, unless its token was shown after the note was seen."""
        if not self._about:
            return
        for number, line in enumerate(list(self._lines.open), 1):
            if self._is_meant(line):
                line.end(frames.TOKEN_REFUSED)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _is_meant(self, line: Line) -> bool:
        who = line.identity
        if who is None:
            return False
        # a key is remembered for a moment (`tokens.py`): a token shown after the note may have been believed
        if who.key_id in self._about:
            return True
        if any(line.shown_at <= seen for seen, _ in self._about.get(who.device_uid, ())):
            return True
        return any(
            line.shown_at <= seen and (note.before is None or who.issued_at < note.before.timestamp())
            for seen, note in self._about.get(who.subscriber_uid, ())
        )


@blocking
def _newest_before(instant: datetime) -> int:
    keys = Closing.objects.filter(at__lt=instant).order_by("-pk").values_list("pk", flat=True)
    return keys.first() or 0


@blocking
def _read(floor: int, known: Container[int]) -> list[Note]:
    """Return the notes behind a key, besides those known: however many there are, each is read once."""
    keys = Closing.objects.filter(pk__gt=floor).order_by("pk").values_list("pk", flat=True)
    new = [key for key in keys if key not in known]
    notes = []
    for start in range(0, len(new), AT_ONCE):
        rows = Closing.objects.filter(pk__in=new[start : start + AT_ONCE]).order_by("pk")
        notes += [
            Note(*row) for row in rows.values_list("pk", "device", "subscriber", "before", "signing_key")
        ]
    return notes


@blocking
def _drop() -> None:
    Closing.objects.filter(at__lt=timezone.now() - KEPT).delete()
