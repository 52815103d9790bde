"""The log in Cassandra: the same promises as the relational one, without deletes, nulls or lightweight transactions."""

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from uuid import UUID

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import PreparedStatement, SimpleStatement
from django.conf import settings

from delivery import positions
from delivery.cassandra import batches, connection
from delivery.cassandra.models import TABLES
from delivery.cassandra.months import month_of, rising
from delivery.log.store import LogEntry, OutcomeRow, ReceiptRow

DAY = 86_400.0
ROW_OVERHEAD = 80
READS_AT_ONCE = 64


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

    def append(self, entries: Sequence[LogEntry]) -> None:
        statement = self._insert("log_entries", "subscriber, month, position, notification, run, body")
        writes = []
        for row in entries:
            month = month_of(positions.stamp_of(row.position))
            key = batches.composite(row.subscriber.bytes, month.to_bytes(4, "big", signed=True))
            place = positions.to_timeuuid(row.position)
            values = (row.subscriber, month, place, row.notification, row.run, row.body)
            writes.append(batches.Write(key, values, len(row.body) + ROW_OVERHEAD))
        batches.write(self.session, statement, writes, keyspace=self.keyspace)

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

    def write_outcomes(self, rows: Sequence[OutcomeRow]) -> None:
        names = "subscriber, run, notification, device, version, outcome, reason, provider_id, at"
        writes = [
            batches.Write(
                batches.uuid_pair(row.subscriber, row.run),
                tuple(getattr(row, name) for name in names.split(", ")),
                len(row.provider_id) + len(row.reason) + ROW_OVERHEAD,
            )
            for row in rows
        ]
        batches.write(self.session, self._insert("log_outcomes", names), writes, keyspace=self.keyspace)

    def outcomes(self, subscriber: UUID, run: UUID) -> list[OutcomeRow]:
        statement = self._statement("SELECT * FROM $log_outcomes WHERE subscriber = ? AND run = ?")
        newest: dict[tuple[UUID, UUID], OutcomeRow] = {}
        for row in self.session.execute(statement, (subscriber, run)):
            found = OutcomeRow(**{name: row[name] for name in OutcomeRow.__struct_fields__})
            newest[(found.notification, found.device)] = (
                found  # clustered by version: the last is the highest
            )
        return sorted(newest.values(), key=lambda row: row.at)

    # -- receipts and marks

    def write_receipts(self, rows: Sequence[ReceiptRow]) -> None:
        statement = self._insert("log_receipts", "subscriber, notification, device, kind, at")
        writes = [
            batches.Write(
                batches.uuid_pair(row.subscriber, row.notification),
                (row.subscriber, row.notification, row.device, row.kind, row.at),
                ROW_OVERHEAD,
            )
            for row in rows
        ]
        batches.write(self.session, statement, writes, keyspace=self.keyspace)

    def receipts(self, subscriber: UUID, notifications: Iterable[UUID]) -> list[ReceiptRow]:
        statement = self._statement(
            "SELECT device, kind, at FROM $log_receipts WHERE subscriber = ? AND notification = ?"
        )
        asked = [(item, self.session.execute_async(statement, (subscriber, item))) for item in notifications]
        first: dict[tuple[UUID, UUID, str], ReceiptRow] = {}
        for item, answer in asked:
            for row in answer.result():
                found = ReceiptRow(subscriber, item, row["device"], row["kind"], row["at"])
                first.setdefault(
                    (item, found.device, found.kind), found
                )  # clustered by time: the first counts
        return sorted(first.values(), key=lambda row: row.at)

    def receipts_of(self, pairs: Sequence[tuple[UUID, UUID]]) -> list[ReceiptRow]:
        statement = self._statement(
            "SELECT subscriber, notification, device, kind, at FROM $log_receipts "
            "WHERE subscriber = ? AND notification = ?"
        )
        answers = execute_concurrent_with_args(
            self.session, statement, list(dict.fromkeys(pairs)), concurrency=READS_AT_ONCE
        )
        return [
            ReceiptRow(**{name: row[name] for name in ReceiptRow.__struct_fields__})
            for _, rows in answers
            for row in rows
        ]

    def mark(self, subscriber: UUID, notifications: Iterable[UUID], state: str, at: float) -> None:
        statement = self._insert("log_marks", "subscriber, notification, state, at")
        writes = [
            batches.Write(subscriber.bytes, (subscriber, item, state, at), ROW_OVERHEAD)
            for item in notifications
        ]
        batches.write(self.session, statement, writes, keyspace=self.keyspace)

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
