"""What a device may read of its subscriber's log: one way for the socket's replay and for the inbox."""

import time
from uuid import UUID

import msgspec
from django.conf import settings

from delivery import positions
from delivery.log import body as bodies
from delivery.log.store import log_store
from delivery.models import Run

DAY = 86_400.0


class Reading(msgspec.Struct, frozen=True):
    """A piece of the log as one platform sees it.

    `last` is the position that was read up to and goes on from; `cursor` is the durable bookmark,
    which never stands closer to now than W; `more` says whether there is more behind `last`.
    """

    entries: list[bodies.Shown]
    places: list[bytes]
    last: bytes
    cursor: str
    more: bool


def read(subscriber: UUID, *, platform: str, after: bytes, limit: int) -> Reading:
    """Return up to `limit` entries behind a position, oldest first, without repeats and recalled runs."""
    rows = log_store().read(subscriber, after=after, limit=limit)
    runs = {row.run for row in rows}
    recalled = set(Run.objects.filter(uid__in=runs, recalled_at__isnull=False).values_list("uid", flat=True))
    entries, places, seen = [], [], set()
    for row in rows:
        if row.notification in seen or row.run in recalled:
            continue
        seen.add(row.notification)
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
    return Reading(entries, places, last, positions.encode(cursor), more)


def reaches_back(after: bytes) -> bool:
    """Return whether the log still holds everything behind a position."""
    return after == positions.START or positions.stamp_of(after) > time.time() - settings.LOG_DAYS * DAY
