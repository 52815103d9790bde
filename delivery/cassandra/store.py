"""The log in Cassandra: the same promises as the relational one, without deletes, nulls or lightweight transactions."""

import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from uuid import UUID

import msgspec
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import PreparedStatement, SimpleStatement
from django.conf import settings

from delivery import positions
from delivery.cassandra import batches, connection
from delivery.cassandra.models import TABLES
from delivery.cassandra.months import month_of, rising
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

DAY = 86_400.0
READS = 32
"""Queries at a time where many are asked."""
TOGETHER = 50
"""Small partitions that one query reads."""
NEIGHBOURS = 64
"""Primary keys of people whose outcomes of a run are one partition."""
ROW_OUTCOMES = 64
"""Outcomes of one row at most, each at most some 430 bytes: it must fit in a batch."""
_encode = msgspec.msgpack.Encoder().encode
_outcomes = msgspec.msgpack.Decoder(list[NewOutcome])
_double = struct.Struct(">d").pack
_bigint = struct.Struct(">q").pack
_integer = struct.Struct(">i").pack
"""Values as Cassandra's native protocol writes them (version 4, section 6)."""


class SchemaError(Exception):
    """The keyspace or a table is missing or differs; says what to do."""


class CassandraLogStore:
    """A `LogStore` over the cluster that django-cassandra-engine's alias names."""

    def __init__(self, *, keyspace: str, days: int) -> None:
        self.keyspace = keyspace
        self.days = days
        self._prepared: dict[str, PreparedStatement] = {}

    @classmethod
    def from_settings(cls) -> "CassandraLogStore":
        return cls(keyspace=settings.CASSANDRA_KEYSPACE, days=settings.LOG_DAYS)

    @cached_property
    def session(self) -> Session:
        return connection.session()

    def _statement(self, cql: str) -> PreparedStatement:
        found = self._prepared.get(cql)
        if found is None:
            found = self._prepared[cql] = self.session.prepare(cql.replace("$", f"{self.keyspace}."))
        return found

    def _insert(self, table: str, columns: str) -> PreparedStatement:
        marks = ", ".join("?" for _ in columns.split(","))
        ttl = int(self.days * DAY)
        return self._statement(f"INSERT INTO ${table} ({columns}) VALUES ({marks}) USING TTL {ttl}")

    # -- entries

    def append(self, entries: Sequence[NewEntry], *, run: UUID, stamp: float) -> None:
        statement = self._insert("log_entries", "subscriber, month, position, notification, run, body")
        month, of_run = _integer(month_of(stamp)), run.bytes
        place = positions.timeuuids(stamp)
        self._write(
            statement,
            [
                (row.subscriber, month, place(row.notification), row.notification, of_run, row.body)
                for row in entries
            ],
            key=batches.of_two,
        )

    def read(self, subscriber: UUID, *, after: bytes, limit: int) -> list[LogEntry]:
        statement = self._statement(
            "SELECT position, notification, run, body FROM $log_entries "
            "WHERE subscriber = ? AND month = ? AND position > ? ORDER BY position ASC LIMIT ?"
        )
        now = time.time()
        oldest = positions.floor(now - (self.days + 1) * DAY)
        start = max(after, oldest)
        found: list[LogEntry] = []
        for month in rising(positions.stamp_of(start), now + DAY):
            if len(found) >= limit:
                break
            rows = self.session.execute(
                statement, (subscriber, month, positions.to_timeuuid(after), limit - len(found))
            )
            found += [self._entry(subscriber, row) for row in rows]
        return found

    def newest(self, subscriber: UUID, *, before: bytes | None, limit: int) -> list[LogEntry]:
        statement = self._statement(
            "SELECT position, notification, run, body FROM $log_entries "
            "WHERE subscriber = ? AND month = ? AND position < ? LIMIT ?"
        )
        now = time.time()
        end = before or positions.floor(now + DAY)
        found: list[LogEntry] = []
        for month in reversed(list(rising(now - (self.days + 1) * DAY, positions.stamp_of(end)))):
            if len(found) >= limit:
                break
            rows = self.session.execute(
                statement, (subscriber, month, positions.to_timeuuid(end), limit - len(found))
            )
            found += [self._entry(subscriber, row) for row in rows]
        return found

    def since(self, subscribers: Sequence[UUID], after: bytes) -> Iterator[tuple[UUID, UUID, UUID, bytes]]:
        statement = self._statement(
            "SELECT position, notification, run FROM $log_entries "
            "WHERE subscriber = ? AND month = ? AND position > ?"
        )
        now = time.time()
        start = max(after, positions.floor(now - (self.days + 1) * DAY))
        months = list(rising(positions.stamp_of(start), now + DAY))
        asked = [
            (subscriber, month, positions.to_timeuuid(start))
            for subscriber in subscribers
            for month in months
        ]
        answers = execute_concurrent_with_args(self.session, statement, asked, concurrency=READS)
        for (subscriber, _, _), (_, rows) in zip(asked, answers, strict=True):
            for row in rows:
                yield subscriber, row["notification"], row["run"], positions.from_timeuuid(row["position"])

    def _entry(self, subscriber: UUID, row: dict[str, object]) -> LogEntry:
        place = positions.from_timeuuid(row["position"])  # type: ignore[arg-type]
        return LogEntry(subscriber, place, row["notification"], row["run"], row["body"])  # type: ignore[arg-type]

    def identities(self, run: UUID) -> Iterator[tuple[UUID, UUID]]:
        statement = SimpleStatement(
            f"SELECT subscriber, notification, run FROM {self.keyspace}.log_entries", fetch_size=5_000
        )
        seen: set[tuple[UUID, UUID]] = set()
        for row in self.session.execute(statement, timeout=60.0):
            pair = (row["subscriber"], row["notification"])
            if row["run"] == run and pair not in seen:
                seen.add(pair)
                yield pair

    # -- outcomes

    def write_outcomes(self, rows: Sequence[NewOutcome], *, run: UUID, version: int, at: float) -> None:
        together: dict[int, list[NewOutcome]] = {}
        for row in rows:
            together.setdefault(row.key // NEIGHBOURS, []).append(row)
        of_run, of_parcel, instant = run.bytes, _bigint(version), _double(at)
        self._write(
            self._insert(
                "log_outcomes_by_run", "run, neighbours, version, notification, device, at, outcomes"
            ),
            [
                (
                    of_run,
                    _bigint(neighbours),
                    of_parcel,
                    # a message is in one parcel at a time: its first one tells the parcels of a version apart
                    part[0].notification,
                    part[0].device,
                    instant,
                    _encode(part),
                )
                for neighbours, found in together.items()
                for part in (
                    found[start : start + ROW_OUTCOMES] for start in range(0, len(found), ROW_OUTCOMES)
                )
            ],
            key=batches.of_two,
        )

    def _write(
        self, statement: PreparedStatement, rows: Sequence[batches.Columns], *, key: batches.Key
    ) -> None:
        batches.write(self.session, statement, rows, key=key, keyspace=self.keyspace)

    def outcomes(self, people: Sequence[Who], run: UUID) -> list[OutcomeRow]:
        statement = self._statement(
            "SELECT version, at, outcomes FROM $log_outcomes_by_run WHERE run = ? AND neighbours = ?"
        )
        wanted = {uid.bytes for _, uid in people}
        asked = [(run, neighbours) for neighbours in {key // NEIGHBOURS for key, _ in people}]
        newest: dict[tuple[bytes, bytes], OutcomeRow] = {}
        for _, rows in execute_concurrent_with_args(self.session, statement, asked, concurrency=READS):
            # clustered by version: the last is the highest
            for row in rows:
                for found in _outcomes.decode(row["outcomes"]):
                    if found.subscriber in wanted:
                        newest[found.notification, found.device] = OutcomeRow(
                            UUID(bytes=found.subscriber),
                            UUID(bytes=found.notification),
                            UUID(bytes=found.device),
                            run,
                            found.outcome,
                            found.reason,
                            found.provider_id,
                            row["version"],
                            row["at"],
                        )
        return sorted(newest.values(), key=lambda row: row.at)

    # -- receipts and marks

    def write_receipts(self, rows: Sequence[NewReceipt]) -> None:
        self._write(
            self._insert("log_receipts_by_notification", "notification, subscriber, device, kind, at"),
            [
                (row.notification, row.subscriber, row.device, row.kind.encode(), _double(row.at))
                for row in rows
            ],
            key=batches.of_one,
        )

    def receipts(self, subscriber: UUID, notifications: Iterable[UUID]) -> list[ReceiptRow]:
        first: dict[tuple[UUID, UUID, str], ReceiptRow] = {}
        for row in self.receipts_of([(subscriber, item) for item in notifications]):
            key = (row.notification, row.device, row.kind)
            first.setdefault(key, row)  # clustered by time: the first counts
        return sorted(first.values(), key=lambda row: row.at)

    def receipts_of(self, pairs: Sequence[tuple[UUID, UUID]]) -> list[ReceiptRow]:
        statement = self._statement(
            "SELECT subscriber, notification, device, kind, at FROM $log_receipts_by_notification "
            "WHERE notification IN ?"
        )
        wanted = set(pairs)
        items = list({notification for _, notification in wanted})
        asked = [(items[start : start + TOGETHER],) for start in range(0, len(items), TOGETHER)]
        answers = execute_concurrent_with_args(self.session, statement, asked, concurrency=READS)
        return [
            ReceiptRow(**{name: row[name] for name in ReceiptRow.__struct_fields__})
            for _, rows in answers
            for row in rows
            if (row["subscriber"], row["notification"]) in wanted
        ]

    def runs_of(self, pairs: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], UUID]:
        wanted = set(pairs)
        people = list({subscriber for subscriber, _ in wanted})
        # a partition is a person's month; what is asked about is mostly of the last one
        return {
            (subscriber, notification): run
            for subscriber, notification, run, _ in self.since(people, positions.START)
            if (subscriber, notification) in wanted
        }

    def mark(self, subscriber: UUID, notifications: Iterable[UUID], state: str, at: float) -> None:
        self._write(
            self._insert("log_marks", "subscriber, notification, state, at"),
            [(subscriber.bytes, item.bytes, state.encode(), _double(at)) for item in notifications],
            key=batches.of_one,
        )

    def marks(self, subscriber: UUID, notifications: Iterable[UUID]) -> dict[UUID, str]:
        statement = self._statement(
            "SELECT notification, state FROM $log_marks WHERE subscriber = ? AND notification IN ?"
        )
        ids = list(notifications)
        if not ids:
            return {}
        return {
            row["notification"]: row["state"] for row in self.session.execute(statement, (subscriber, ids))
        }

    def unread(
        self, subscribers: Sequence[UUID], *, besides: Sequence[UUID], recalled: Sequence[UUID], limit: int
    ) -> dict[UUID, int]:
        entries = self._statement(
            "SELECT notification, run FROM $log_entries WHERE subscriber = ? AND month = ? LIMIT ?"
        )
        now = time.time()
        months = list(rising(now - (self.days + 1) * DAY, now + DAY))
        asked = [(person, month, limit) for person in subscribers for month in months]
        answers = execute_concurrent_with_args(self.session, entries, asked, concurrency=READS)
        own, taken_back = set(besides), set(recalled)
        found: dict[UUID, set[UUID]] = {}
        for (person, _, _), (_, rows) in zip(asked, answers, strict=True):
            told = {row["notification"] for row in rows if row["run"] not in taken_back}
            if told := told - own:
                found.setdefault(person, set()).update(told)
        marks = self._statement(
            "SELECT notification, state FROM $log_marks WHERE subscriber = ? AND notification IN ?"
        )
        read = execute_concurrent_with_args(
            self.session, marks, [(person, list(told)) for person, told in found.items()], concurrency=READS
        )
        for told, (_, rows) in zip(found.values(), read, strict=True):
            told.difference_update(row["notification"] for row in rows if row["state"] in SEEN)
        return {person: len(told) for person, told in found.items() if told}

    # -- housekeeping

    def forget(self, now: float) -> int:
        return 0  # a TTL at insert: Cassandra forgets by itself

    def check(self) -> None:
        metadata = self.session.cluster.metadata.keyspaces.get(self.keyspace)
        advice = "run `manage.py sync_cassandra`"
        if metadata is None:
            raise SchemaError(f"Cassandra has no keyspace '{self.keyspace}': {advice}.")
        for model in TABLES:
            name = model.column_family_name(include_keyspace=False)
            table = metadata.tables.get(name)
            if table is None:
                raise SchemaError(f"Cassandra has no table '{self.keyspace}.{name}': {advice}.")
            missing = set(model._columns) - set(table.columns)
            keys = [column.name for column in table.primary_key]
            if missing or keys != list(model._primary_keys):
                raise SchemaError(
                    f"The table '{self.keyspace}.{name}' has other columns than it should: {advice}."
                )
        self.session.execute(f"SELECT month FROM {self.keyspace}.log_entries LIMIT 1")
