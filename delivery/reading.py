"""What a device may read of its subscriber's log: one way for the socket's replay and for the inbox."""

import time
from collections.abc import Callable, Container, Sequence
from uuid import UUID

import msgspec
from django.conf import settings

from delivery import positions
from delivery.log import body as bodies
from delivery.log.store import LogEntry, log_store
from delivery.models import Run

DAY = 86_400.0


class Reading(msgspec.Struct, frozen=True):
    """A piece of the log as one platform sees it.

    `last` is the position that was read up to and goes on from; `cursor` is the durable bookmark,
    which never stands closer to now than W, and names what it was read beyond that; `more` says
    whether there is more behind `last`.
    """

    entries: list[bodies.Shown]
    places: list[bytes]
    last: bytes
    cursor: str
    more: bool


def read(
    subscriber: UUID, *, platform: str, after: bytes, limit: int, seen: Callable[[bytes], bool] | None = None
) -> Reading:
    """Return up to `limit` entries behind a position, oldest first, without repeats and recalled runs.

    `seen` says of an id whether its entry was read before: it is left out.
    """
    rows = log_store().read(subscriber, after=after, limit=limit)
    return _reading(rows, _recalled(rows), platform=platform, after=after, limit=limit, seen=seen)


def newest(subscriber: UUID, *, platform: str, before: bytes | None, limit: int) -> Reading:
    """Return up to `limit` entries before a position (None: from the end), newest first; its cursor says nothing."""
    rows = log_store().newest(subscriber, before=before, limit=limit)
    return _reading(rows, _recalled(rows), platform=platform, after=positions.START, limit=limit)


def read_many(asked: Sequence[tuple[UUID, str, bytes]], *, limit: int) -> list[Reading | Exception]:
    """Return the readings of many (subscriber, platform, position), and an error in the place of one that failed."""
    store = log_store()
    found: list[list[LogEntry] | Exception] = []
    for subscriber, _, after in asked:
        try:
            found.append(store.read(subscriber, after=after, limit=limit))
        except Exception as error:
            found.append(error)
    recalled = _recalled([row for rows in found if not isinstance(rows, Exception) for row in rows])
    return [
        rows
        if isinstance(rows, Exception)
        else _reading(rows, recalled, platform=platform, after=after, limit=limit)
        for rows, (_, platform, after) in zip(found, asked, strict=True)
    ]


def _recalled(rows: Sequence[LogEntry]) -> set[UUID]:
    """Return the runs of some entries that were recalled; none is asked for where there are no entries."""
    runs = {row.run for row in rows}
    if not runs:
        return set()
    return set(Run.objects.filter(uid__in=runs, recalled_at__isnull=False).values_list("uid", flat=True))


def _reading(
    rows: Sequence[LogEntry],
    recalled: Container[UUID],
    *,
    platform: str,
    after: bytes,
    limit: int,
    seen: Callable[[bytes], bool] | None = None,
) -> Reading:
    entries, places, met = [], [], set()
    for row in rows:
        if row.notification in met or row.run in recalled:
            continue
        met.add(row.notification)
        if seen is not None and seen(row.notification.bytes):
            continue
        entry = bodies.shown(
            bodies.decode(row.body),
            platform=platform,
            identity=str(row.notification),
            place=positions.encode(row.position),
            run=str(row.run),
        )
        if entry is not None:
            entries.append(entry)
            places.append(row.position)
    now = time.time()
    more = len(rows) == limit
    last = rows[-1].position if rows else after
    # when everything up to now was read, the bookmark may stand where entries can no longer appear
    horizon = last if more else positions.floor(now)
    cursor = max(after, min(horizon, positions.floor(now - positions.COMMIT_WINDOW - positions.CLOCK_SKEW)))
    young = [row.notification.bytes for row in rows if row.position > cursor]
    return Reading(entries, places, last, positions.encode(cursor, dict.fromkeys(young)), more)


def oldest(now: float) -> bytes:
    """Return the position from which on the log still holds everything."""
    return positions.floor(now - settings.LOG_DAYS * DAY)


def reaches_back(after: bytes) -> bool:
    """Return whether the log still holds everything behind a position."""
    return after == positions.START or after > oldest(time.time())
