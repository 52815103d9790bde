"""Receipts: what a device said later about notifications."""

import time
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from delivery import heard, presence
from delivery.log.store import NewReceipt, log_store
from devices import facts
from devices.models import Device, Subscriber

log = structlog.get_logger(__name__)

KINDS = ("acknowledged", "displayed", "opened", "dismissed", "read")
MARKING = {"opened": "read", "read": "read"}
"""Receipts after which the notification counts as read for the subscriber."""
MOST_IDS = 500


class ReceiptError(ValueError):
    """A receipt that cannot be taken: an unknown kind, or too many ids at once."""


def record(
    subscriber: UUID,
    device: UUID,
    notifications: Iterable[UUID],
    kind: str,
    *,
    at: float | None = None,
    archived_too: bool = False,
) -> int:
    """Store receipts of one kind; return how many. A repeated one changes nothing. Raises `ReceiptError`.

    What was archived stays so, as receipts may come late; not with `archived_too`, when a person says so now.
    """
    if kind not in KINDS:
        raise ReceiptError(f"'{kind}' is no kind of receipt; use one of {', '.join(KINDS)}.")
    ids = list(dict.fromkeys(notifications))
    if len(ids) > MOST_IDS:
        raise ReceiptError(f"{len(ids)} ids at once; at most {MOST_IDS}.")
    when = time.time() if at is None else at
    if kind == "opened":
        _count_opened(subscriber, ids)
    store([NewReceipt(subscriber.bytes, item.bytes, device.bytes, kind, when) for item in ids])
    if kind in MARKING:
        known = {} if archived_too else log_store().marks(subscriber, ids)
        if unread := [item for item in ids if known.get(item) != "archived"]:
            mark(subscriber, unread, MARKING[kind], at=when)
    return len(ids)


def store(rows: Sequence[NewReceipt]) -> None:
    """Write receipts to the log, and keep them to be counted for the reports of their runs."""
    log_store().write_receipts(rows)
    heard.note_receipts(rows)


def _count_opened(subscriber: UUID, ids: Sequence[UUID]) -> None:
    """Count the notifications that no device of the subscriber has opened before, if a segment asks for that."""
    holder = Subscriber.objects.filter(uid=subscriber).values_list("pk", "application_id").first()
    if holder is None or facts.OPENED not in facts.wanted(holder[1]):
        return
    known = {row.notification for row in log_store().receipts(subscriber, set(ids)) if row.kind == "opened"}
    facts.count(holder[1], facts.OPENED, [holder[0]] * len(set(ids) - known))


def mark(subscriber: UUID, ids: Sequence[UUID], state: str, *, at: float) -> None:
    """Note that a subscriber has `read` or `archived` notifications, and tell their devices that are connected now."""
    log_store().mark(subscriber, ids, state, at)
    devices = Device.objects.filter(subscriber__uid=subscriber, state=Device.State.ACTIVE)
    try:
        presence.marked([uid.bytes for uid in devices.values_list("uid", flat=True)], ids, state)
    except RedisError as error:
        log.warning("receipts.nobody_told", error=str(error))  # the inbox says so all the same
