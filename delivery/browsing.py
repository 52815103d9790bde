"""The inbox as a person looks through it: newest first, without what they archived, and how much is unread."""

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from delivery import positions, reading, receipts
from delivery.log import body as bodies
from delivery.log.store import log_store
from delivery.models import Run
from devices.models import Application

MOST = 50
MOST_UNREAD = 99
"""Unread ones are counted up to here; beyond, there are more."""
LOOKED_THROUGH = 1_000
"""Of so many entries at most, the newest, it is known whether they are unread; older ones count as read."""
_STEP = 100
STATES = ("unread", "read", "archived")


def latest(subscriber: UUID, *, platform: str, before: str | None, limit: int) -> dict[str, Any]:
    """Return up to `limit` `entries` older than a cursor, newest first, with their `state`; none that is archived.

    `before` goes on with older ones, None: there are no more. On the first page `unread` (0 to 99) and
    `more_unread` tell how many of all wait to be read, on the others both are None. Raises `positions.CursorError`.
    """
    start = positions.decode(before) if before else None
    found: list[dict[str, Any]] = []
    last: bytes | None = None
    unread = 0
    for place, entry, state in _newest(subscriber, platform, start):
        if state == "archived":
            continue
        if len(found) < limit:
            found.append({**bodies.as_dict(entry), "state": state})
            last = place
        elif before is not None or unread > MOST_UNREAD:
            break
        unread += state == "unread"
    else:
        if len(found) < limit:
            last = None
    first = before is None
    return {
        "entries": found,
        "before": positions.encode(last) if last else None,
        "unread": min(unread, MOST_UNREAD) if first else None,
        "more_unread": unread > MOST_UNREAD if first else None,
    }


def states(
    subscriber: UUID, ids: Sequence[UUID], *, application: Application, runs: Sequence[UUID]
) -> tuple[dict[UUID, str], list[UUID]]:
    """Return the state of each of a subscriber's notifications, and which of an application's runs were recalled.

    The log itself is not read: who asks knows the runs.
    """
    marks = log_store().marks(subscriber, ids)
    taken_back = Run.objects.filter(application=application, uid__in=runs, recalled_at__isnull=False)
    recalled = list(taken_back.values_list("uid", flat=True)) if runs else []
    return {one: marks.get(one, "unread") for one in ids}, recalled


def mark(
    subscriber: UUID, device: UUID, *, ids: Sequence[UUID] | None, state: str, platform: str
) -> list[UUID]:
    """Give notifications a state on all devices of a subscriber; return which.

    None for `ids`: all that are unread. `read` is a receipt of this device as well. Raises `receipts.ReceiptError`.
    """
    if ids is None:
        waiting = (entry.id for _, entry, now in _newest(subscriber, platform, None) if now == "unread")
        marked = [UUID(one) for one in waiting][: receipts.MOST_IDS]
    else:
        marked = list(dict.fromkeys(ids))
    if state == "read":
        receipts.record(subscriber, device, marked, "read", archived_too=True)
    elif marked:
        receipts.mark(subscriber, marked, state, at=time.time())
    return marked


def _newest(
    subscriber: UUID, platform: str, before: bytes | None
) -> Iterator[tuple[bytes, bodies.Shown, str]]:
    """Yield position, entry and state, newest first, of the entries a platform may see; each once, none recalled."""
    met: set[str] = set()
    for _ in range(LOOKED_THROUGH // _STEP):
        page = reading.newest(subscriber, platform=platform, before=before, limit=_STEP)
        marks = log_store().marks(subscriber, [UUID(entry.id) for entry in page.entries])
        for place, entry in zip(page.places, page.entries, strict=True):
            if entry.id not in met:
                met.add(entry.id)
                yield place, entry, marks.get(UUID(entry.id), "unread")
        if not page.more:
            return
        before = page.last
