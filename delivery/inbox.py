"""Pull: a device reads its subscriber's log with the cursor that the socket uses too."""

from typing import Any
from uuid import UUID

from delivery import positions, reading
from delivery.log import body as bodies
from delivery.log.store import log_store

MOST = 100


def read(subscriber: UUID, *, platform: str, after: str | None, limit: int = MOST) -> dict[str, Any]:
    """Return `entries` behind a cursor, the durable `cursor`, and `next` while there is more at once.

    `cursor` is what a device keeps: entries of the last seconds come again with it and are dropped
    by id. `next` goes on with the same reading. Raises `positions.CursorError`.
    """
    start = positions.START if not after else positions.decode(after)
    found = reading.read(subscriber, platform=platform, after=start, limit=max(1, min(limit, MOST)))
    marks = log_store().marks(subscriber, [UUID(entry.id) for entry in found.entries])
    return {
        "entries": [
            {**bodies.as_dict(entry), "state": marks.get(UUID(entry.id), "unread")} for entry in found.entries
        ],
        "cursor": found.cursor,
        "next": positions.encode(found.last) if found.more else None,
        "recovered": reading.reaches_back(start),
    }
