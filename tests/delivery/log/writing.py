"""Rows as they are read back, written the way pages and parcels write theirs."""

from collections.abc import Sequence

from delivery import positions
from delivery.log.store import (
    LogEntry,
    LogStore,
    NewEntry,
    NewOutcome,
    NewReceipt,
    OutcomeRow,
    ReceiptRow,
    log_store,
)


def append(entries: Sequence[LogEntry], store: LogStore | None = None) -> None:
    """Write entries at their positions, made of stamps of whole or half seconds; a page for each run and stamp."""
    pages: dict[tuple[object, float], list[LogEntry]] = {}
    for entry in entries:
        pages.setdefault((entry.run, positions.stamp_of(entry.position)), []).append(entry)
    for (_, stamp), rows in pages.items():
        new = [NewEntry(row.subscriber.bytes, row.notification.bytes, row.body) for row in rows]
        (store or log_store()).append(new, run=rows[0].run, stamp=stamp)


def write_outcomes(rows: Sequence[OutcomeRow], store: LogStore | None = None, *, key: int = 0) -> None:
    """Write outcomes, each as a parcel of its own; `key` is the subscriber's."""
    for row in rows:
        ids = (row.subscriber.bytes, row.notification.bytes, row.device.bytes)
        new = NewOutcome(key, *ids, row.outcome, row.reason, row.provider_id)
        (store or log_store()).write_outcomes([new], run=row.run, version=row.version, at=row.at)


def write_receipts(rows: Sequence[ReceiptRow], store: LogStore | None = None) -> None:
    """Write receipts."""
    new = [
        NewReceipt(row.subscriber.bytes, row.notification.bytes, row.device.bytes, row.kind, row.at)
        for row in rows
    ]
    (store or log_store()).write_receipts(new)
