"""The log in the relational database: SQLite's second file, or PostgreSQL's own tables."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections, transaction
from django.db.models import Count, Exists, OuterRef

from delivery import positions
from delivery.log.store import (
    SEEN,
    LogEntry,
    NewEntry,
    NewOutcome,
    NewReceipt,
    OutcomeRow,
    ReceiptRow,
    Who,
)
from delivery.models import Entry, Mark, Outcome, Receipt

DAY = 86_400.0
ROWS_A_STATEMENT = 100
READ = (
    "SELECT position, notification, run, body FROM delivery_entry "
    "WHERE subscriber = %s AND position > %s ORDER BY position LIMIT %s"
)


class RelationalLogStore:
    """A `LogStore` over one Django database alias."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def append(self, entries: Sequence[NewEntry], *, run: UUID, stamp: float) -> None:
        forgotten = time.time() + settings.LOG_DAYS * DAY
        place = positions.of_page(stamp)
        self._insert(
            "delivery_entry (subscriber, position, notification, run, body, expires_at)",
            [
                (
                    row.subscriber.hex(),
                    place(row.notification),
                    row.notification.hex(),
                    run.hex,
                    row.body,
                    forgotten,
                )
                for row in entries
            ],
            "ON CONFLICT DO NOTHING",
        )

    def read(self, subscriber: UUID, *, after: bytes, limit: int) -> list[LogEntry]:
        # past the ORM: a node that thousands come back to does this for each of them
        with connections[self.alias].cursor() as cursor:
            cursor.execute(READ, (subscriber.hex, after, limit))
            rows = cursor.fetchall()
        return [
            LogEntry(subscriber, bytes(place), _uuid(notification), _uuid(run), bytes(body))
            for place, notification, run, body in rows
        ]

    def newest(self, subscriber: UUID, *, before: bytes | None, limit: int) -> list[LogEntry]:
        rows = Entry.objects.using(self.alias).filter(subscriber=subscriber)
        if before is not None:
            rows = rows.filter(position__lt=before)
        return self._entries(rows.order_by("-position")[:limit])

    def _entries(self, rows: Any) -> list[LogEntry]:
        return [
            LogEntry(subscriber, bytes(position), notification, run, bytes(body))
            for subscriber, position, notification, run, body in rows.values_list(
                "subscriber", "position", "notification", "run", "body"
            )
        ]

    def since(self, subscribers: Sequence[UUID], after: bytes) -> Iterator[tuple[UUID, UUID, UUID, bytes]]:
        rows = Entry.objects.using(self.alias).filter(subscriber__in=list(subscribers), position__gt=after)
        for subscriber, notification, run, place in rows.values_list(
            "subscriber", "notification", "run", "position"
        ).iterator(chunk_size=2_000):
            yield subscriber, notification, run, bytes(place)

    def write_outcomes(self, rows: Sequence[NewOutcome], *, run: UUID, version: int, at: float) -> None:
        forgotten = time.time() + settings.LOG_DAYS * DAY
        names = "subscriber, notification, device, run, outcome, reason, provider_id, version, at, expires_at"
        newer = ", ".join(
            f"{name} = excluded.{name}" for name in ("outcome", "reason", "provider_id", "version", "at")
        )
        self._insert(
            f"delivery_outcome ({names})",
            [
                (
                    row.subscriber.hex(),
                    row.notification.hex(),
                    row.device.hex(),
                    run.hex,
                    row.outcome,
                    row.reason,
                    row.provider_id,
                    version,
                    at,
                    forgotten,
                )
                for row in rows
            ],
            f"ON CONFLICT (notification, device) DO UPDATE SET {newer} "
            "WHERE excluded.version >= delivery_outcome.version",
        )

    def outcomes(self, people: Sequence[Who], run: UUID) -> list[OutcomeRow]:
        rows = Outcome.objects.using(self.alias).filter(subscriber__in=[uid for _, uid in people], run=run)
        return [OutcomeRow(*row) for row in rows.order_by("at").values_list(*OutcomeRow.__struct_fields__)]

    def write_receipts(self, rows: Sequence[NewReceipt]) -> None:
        forgotten = time.time() + settings.LOG_DAYS * DAY
        self._insert(
            "delivery_receipt (subscriber, notification, device, kind, at, expires_at)",
            # in one order everywhere: two nodes that hold a device write the same, and would wait for each other
            sorted(
                [
                    (
                        row.subscriber.hex(),
                        row.notification.hex(),
                        row.device.hex(),
                        row.kind,
                        row.at,
                        forgotten,
                    )
                    for row in rows
                ]
            ),
            "ON CONFLICT DO NOTHING",
        )

    def receipts(self, subscriber: UUID, notifications: Iterable[UUID]) -> list[ReceiptRow]:
        rows = Receipt.objects.using(self.alias).filter(
            subscriber=subscriber, notification__in=list(notifications)
        )
        return [ReceiptRow(*row) for row in rows.order_by("at").values_list(*ReceiptRow.__struct_fields__)]

    def receipts_of(self, pairs: Sequence[tuple[UUID, UUID]]) -> list[ReceiptRow]:
        wanted = set(pairs)
        rows = Receipt.objects.using(self.alias).filter(
            subscriber__in={subscriber for subscriber, _ in wanted},
            notification__in={notification for _, notification in wanted},
        )
        found = (ReceiptRow(*row) for row in rows.values_list(*ReceiptRow.__struct_fields__))
        return [row for row in found if (row.subscriber, row.notification) in wanted]

    def runs_of(self, pairs: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], UUID]:
        wanted = set(pairs)
        rows = Entry.objects.using(self.alias).filter(
            subscriber__in={subscriber for subscriber, _ in wanted},
            notification__in={notification for _, notification in wanted},
        )
        found = rows.values_list("subscriber", "notification", "run")
        return {pair: run for *key, run in found if (pair := (key[0], key[1])) in wanted}

    def mark(self, subscriber: UUID, notifications: Iterable[UUID], state: str, at: float) -> None:
        forgotten = time.time() + settings.LOG_DAYS * DAY
        self._insert(
            "delivery_mark (subscriber, notification, state, at, expires_at)",
            [(subscriber.hex, notification.hex, state, at, forgotten) for notification in notifications],
            "ON CONFLICT (subscriber, notification) DO UPDATE SET state = excluded.state, at = excluded.at",
        )

    def marks(self, subscriber: UUID, notifications: Iterable[UUID]) -> dict[UUID, str]:
        rows = Mark.objects.using(self.alias).filter(
            subscriber=subscriber, notification__in=list(notifications)
        )
        return dict(rows.values_list("notification", "state"))

    def unread(
        self, subscribers: Sequence[UUID], *, besides: Sequence[UUID], recalled: Sequence[UUID], limit: int
    ) -> dict[UUID, int]:
        seen = Mark.objects.using(self.alias).filter(
            subscriber=OuterRef("subscriber"), notification=OuterRef("notification"), state__in=SEEN
        )
        rows = Entry.objects.using(self.alias).filter(~Exists(seen), subscriber__in=list(subscribers))
        rows = rows.exclude(notification__in=list(besides)).exclude(run__in=list(recalled))
        found = rows.order_by().values("subscriber").annotate(count=Count("notification", distinct=True))
        return dict(found.values_list("subscriber", "count"))

    def identities(self, run: UUID) -> Iterator[tuple[UUID, UUID]]:
        rows = (
            Entry.objects.using(self.alias)
            .filter(run=run)
            .values_list("subscriber", "notification")
            .distinct()
        )
        yield from rows.iterator(chunk_size=2_000)

    def forget(self, now: float) -> int:
        dropped = 0
        for model in (Entry, Outcome, Receipt, Mark):
            rows = model._default_manager.using(self.alias)
            old = list(rows.filter(expires_at__lt=now).values_list("pk", flat=True)[:500])
            dropped += rows.filter(pk__in=old).delete()[0]
        return dropped

    def check(self) -> None:
        with connections[self.alias].cursor() as cursor:
            cursor.execute("SELECT 1 FROM delivery_entry LIMIT 1")

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]], conflict: str) -> None:
        """Insert rows a hundred a statement: half the cost of one statement each, on both databases."""
        if not rows:
            return
        row = "(" + ", ".join(["%s"] * len(rows[0])) + ")"
        with transaction.atomic(using=self.alias), connections[self.alias].cursor() as cursor:
            for start in range(0, len(rows), ROWS_A_STATEMENT):
                part = rows[start : start + ROWS_A_STATEMENT]
                values = ", ".join([row] * len(part))
                cursor.execute(
                    f"INSERT INTO {table} VALUES {values} {conflict}",
                    [value for item in part for value in item],
                )


def _uuid(value: UUID | str) -> UUID:
    """Return a UUID as PostgreSQL gives it, or SQLite, which has no type for it."""
    return value if isinstance(value, UUID) else UUID(hex=value)
