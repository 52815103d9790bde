"""What a log store must do, whichever database stands behind it, and which one is in use."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Protocol
from uuid import UUID

import msgspec
from django.conf import settings

SEEN = ("read", "archived")
"""Marks of what is not unread any more."""


Who = tuple[int, UUID]
"""A subscriber: the primary key and the id."""


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One notification in a subscriber's log; `body` is `delivery.log.body.Body` encoded."""

    subscriber: UUID
    position: bytes
    notification: UUID
    run: UUID
    body: bytes


class NewEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry to be written, of a page whose run and stamp are one; ids are 16 bytes."""

    subscriber: bytes
    notification: bytes
    body: bytes


class NewOutcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a message of a parcel came to, to be written; ids are 16 bytes, `key` is the subscriber's primary key."""

    key: int
    subscriber: bytes
    notification: bytes
    device: bytes
    outcome: str
    reason: str
    provider_id: str = ""


class NewReceipt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a device said about a notification, to be written; ids are 16 bytes, `at` is in epoch seconds."""

    subscriber: bytes
    notification: bytes
    device: bytes
    kind: str
    at: float


class OutcomeRow(msgspec.Struct, frozen=True, gc=False):
    """What sending one message came to."""

    subscriber: UUID
    notification: UUID
    device: UUID
    run: UUID
    outcome: str
    reason: str
    provider_id: str
    version: int
    at: float


class ReceiptRow(msgspec.Struct, frozen=True, gc=False):
    """What a device said about a notification; `at` is in epoch seconds."""

    subscriber: UUID
    notification: UUID
    device: UUID
    kind: str
    at: float


class LogStore(Protocol):
    """A subscriber's entries in order of position, and what became of them.

    Every write may be repeated: the same rows again change nothing. Everything written is
    forgotten after `settings.LOG_DAYS`.
    """

    def append(self, entries: Sequence[NewEntry], *, run: UUID, stamp: float) -> None:
        """Store a page's entries at their positions for `stamp`; when this returns, `read` sees them."""
        ...

    def read(self, subscriber: UUID, *, after: bytes, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries behind the position `after`, oldest first."""
        ...

    def newest(self, subscriber: UUID, *, before: bytes | None, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries before a position (None: from the end), newest first."""
        ...

    def since(self, subscribers: Sequence[UUID], after: bytes) -> Iterator[tuple[UUID, UUID, UUID, bytes]]:
        """Read back (subscriber, notification, run, position) of some subscribers' entries behind a position.

        An entry that was stamped twice comes twice.
        """
        ...

    def write_outcomes(self, rows: Sequence[NewOutcome], *, run: UUID, version: int, at: float) -> None:
        """Store what a parcel's messages came to; of two for the same message the higher `version` stands.

        A store may keep people with neighbouring keys together, as those of a page are.
        """
        ...

    def outcomes(self, people: Sequence[Who], run: UUID) -> list[OutcomeRow]:
        """Return what a run's messages to some people came to, the first ended first; at most a parcel of people."""
        ...

    def write_receipts(self, rows: Sequence[NewReceipt]) -> None:
        """Store receipts; of the same kind for the same message the first stands."""
        ...

    def receipts(self, subscriber: UUID, notifications: Iterable[UUID]) -> list[ReceiptRow]: ...

    def receipts_of(self, pairs: Sequence[tuple[UUID, UUID]]) -> list[ReceiptRow]:
        """Return what devices said of (subscriber, notification) pairs, in any order; at most a parcel of them."""
        ...

    def runs_of(self, pairs: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], UUID]:
        """Return which run each (subscriber, notification) is of, as far as the log holds them; at most a parcel."""
        ...

    def mark(self, subscriber: UUID, notifications: Iterable[UUID], state: str, at: float) -> None:
        """Note that a subscriber has `read` or `archived` notifications."""
        ...

    def marks(self, subscriber: UUID, notifications: Iterable[UUID]) -> dict[UUID, str]: ...

    def unread(
        self, subscribers: Sequence[UUID], *, besides: Sequence[UUID], recalled: Sequence[UUID], limit: int
    ) -> dict[UUID, int]:
        """Return how many notifications each of some subscribers has neither read nor archived; none: not in it.

        Not counted are the notifications `besides`, and those of `recalled` runs. At least the `limit` newest entries
        of a subscriber are looked at. One call for a page of people.
        """
        ...

    def identities(self, run: UUID) -> Iterator[tuple[UUID, UUID]]:
        """Read back every (subscriber, notification) of a run, for the ledger; slow by design."""
        ...

    def forget(self, now: float) -> int:
        """Drop what is past its time, if the database does not do so itself; return how many."""
        ...

    def check(self) -> None:
        """Raise an error when the store cannot be reached or its tables are not as they should be."""
        ...


@cache
def log_store() -> LogStore:
    """Return this process's log store, as `settings.LOG_STORE` says."""
    if settings.LOG_STORE == "cassandra":
        from delivery.cassandra.store import CassandraLogStore

        return CassandraLogStore.from_settings()
    from delivery.log.relational import RelationalLogStore

    return RelationalLogStore(settings.LOG_DATABASE)
