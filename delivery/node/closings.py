"""Ends the lines of whoever may hold none any more: reads the notes that `devices/closing.py` writes."""

import asyncio
import time
from collections.abc import Iterator
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
MOST = 20_000
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


class Closings:
    """A node's notes, each with when it was first seen (monotonic seconds).

    A note is obeyed as long as it is read, because a token that was being looked up when the note was committed may
    be believed after it was first seen.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._seen: dict[int, float] = {}
        self._floor: int | None = None
        self._dropped_at = time.monotonic()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            if self._floor is None:
                self._floor = await _newest_before(timezone.now() - timedelta(seconds=LOOK_BACK))
            self.obey(await _read(self._floor), time.monotonic())
            if time.monotonic() - self._dropped_at > DROP_EVERY:
                self._dropped_at = time.monotonic()
                await _drop()
            await asyncio.sleep(LOOK_EVERY)

    def obey(self, notes: list[Note], now: float) -> None:
        """Close every line that a note is about, unless its token was shown after the note was seen."""
        self._seen = {note.key: self._seen.get(note.key, now) for note in notes}
        self._floor = max(
            (key for key, seen in self._seen.items() if now - seen > LOOK_BACK), default=self._floor
        )
        if not notes:
            return
        devices = {note.device: self._seen[note.key] for note in notes if note.device}
        subscribers: dict[UUID, list[Note]] = {}
        for note in notes:
            if note.subscriber:
                subscribers.setdefault(note.subscriber, []).append(note)
        signing_keys = {note.signing_key for note in notes if note.signing_key is not None}
        for line in list(self._meant(devices, subscribers, signing_keys)):
            line.end(frames.TOKEN_REFUSED)

    def _meant(
        self, devices: dict[UUID, float], subscribers: dict[UUID, list[Note]], signing_keys: set[int]
    ) -> Iterator[Line]:
        for line in self._lines.open:
            who = line.identity
            if who is None:
                continue
            # a key is remembered for a moment (`tokens.py`): a token shown after the note may have been believed
            if who.key_id in signing_keys or line.shown_at <= devices.get(who.device_uid, -1.0):
                yield line
                continue
            for note in subscribers.get(who.subscriber_uid, ()):
                younger = note.before is not None and who.issued_at >= note.before.timestamp()
                if not younger and line.shown_at <= self._seen[note.key]:
                    yield line
                    break


@blocking
def _newest_before(instant: datetime) -> int:
    keys = Closing.objects.filter(at__lt=instant).order_by("-pk").values_list("pk", flat=True)
    return keys.first() or 0


@blocking
def _read(floor: int) -> list[Note]:
    rows = Closing.objects.filter(pk__gt=floor).order_by("pk")
    return [
        Note(*row) for row in rows.values_list("pk", "device", "subscriber", "before", "signing_key")[:MOST]
    ]


@blocking
def _drop() -> None:
    Closing.objects.filter(at__lt=timezone.now() - KEPT).delete()
