"""Pull: a device reads its subscriber's log with the cursor that the socket uses too."""

import hashlib
import random
from typing import Any
from uuid import UUID

from django.conf import settings

from delivery import positions, reading
from delivery.log import body as bodies
from delivery.log.store import log_store

MOST = 100


def read(subscriber: UUID, *, platform: str, after: str | None, limit: int = MOST) -> dict[str, Any]:
    """Return `entries` behind a cursor, the durable `cursor`, and `next` while there is more at once.

    `cursor` is what a device keeps: it may stand some seconds back, and names the entries of these that
    were read. `next` goes on with the same reading. `poll_after_ms` is drawn: when to ask again.
    Raises `positions.CursorError`.
    """
    start, seen = positions.decode_seen(after) if after else (positions.START, None)
    found = reading.read(
        subscriber, platform=platform, after=start, limit=max(1, min(limit, MOST)), seen=seen
    )
    marks = log_store().marks(subscriber, [UUID(entry.id) for entry in found.entries])
    return {
        "entries": [
            {**bodies.as_dict(entry), "state": marks.get(UUID(entry.id), "unread")} for entry in found.entries
        ],
        "cursor": found.cursor,
        "next": positions.encode(found.last) if found.more else None,
        "recovered": reading.reaches_back(start),
        "poll_after_ms": 0 if found.more else poll_after_ms(),
    }


def poll_after_ms() -> int:
    """Return after how many milliseconds a device that polls may ask again: drawn, so that not all come at once."""
    return int(random.uniform(1.0, 1.5) * settings.POLL_SECONDS * 1000)


def etag(found: dict[str, Any]) -> str:
    """Return what changes when a reading says something else; its bookmark, which moves on by itself, is not in it."""
    said = [found["recovered"], *((entry["id"], entry["state"]) for entry in found["entries"])]
    return f'W/"{hashlib.sha256(repr(said).encode()).hexdigest()[:24]}"'
