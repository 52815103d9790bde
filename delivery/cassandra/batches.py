"""Batches of prepared writes, grouped by replica and bounded in rows and bytes, many in flight.

Rows come as Cassandra's own bytes (native protocol version 4, section 6): binding would turn every value into bytes
once more, which is most of what a batch costs.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from cassandra.cluster import Session
from cassandra.metadata import Token
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement

ROWS = 100
BYTES = 30_000
"""Well below Cassandra's default `batch_size_fail_threshold` of 50 KiB."""
IN_FLIGHT = 16

Columns = tuple[bytes, ...]
"""One row, in the order of the statement's columns."""
Key = Callable[[Columns], bytes]
"""Returns a row's partition key as the driver routes by it."""


def of_one(row: Columns) -> bytes:
    """Return a partition key of the first column."""
    return row[0]


def of_two(row: Columns) -> bytes:
    """Return a partition key of the first two columns, as Cassandra hashes it."""
    first, second = row[0], row[1]
    return b"%b%b\0%b%b\0" % (len(first).to_bytes(2, "big"), first, len(second).to_bytes(2, "big"), second)


def grouped(
    rows: Sequence[Columns], session: Session, *, key: Key, keyspace: str
) -> Iterator[Sequence[Columns]]:
    """Yield the rows in batches whose rows share their replicas."""
    ring = session.cluster.metadata.token_map
    token: type[Token] | None = ring.token_class if ring is not None else None
    if ring is None or token is None or len(session.cluster.metadata.all_hosts()) == 1:
        yield from _cut(rows)
        return

    def replicas(row: Columns) -> tuple[str, ...]:
        return tuple(sorted(host.address for host in ring.get_replicas(keyspace, token.from_key(key(row)))))

    placed = sorted(((replicas(row), row) for row in rows), key=lambda pair: pair[0])
    for _, same in groupby(placed, key=lambda pair: pair[0]):
        yield from _cut([row for _, row in same])


def _cut(rows: Sequence[Columns]) -> Iterator[Sequence[Columns]]:
    start = size = 0
    for at, row in enumerate(rows):
        more = len(b"".join(row)) + 4 * len(row)
        if at > start and (at - start == ROWS or size + more > BYTES):
            yield rows[start:at]
            start, size = at, 0
        size += more
    if rows:
        yield rows[start:]


def batch_of(statement: PreparedStatement, rows: Sequence[Columns]) -> BatchStatement:
    """Return the unlogged batch that writes the rows.

    `add` goes through each value again; the list it appends to is the driver's own, so where another
    version has no such list the public way is taken.
    """
    batch = BatchStatement(BatchType.UNLOGGED)
    ready = getattr(batch, "_statements_and_parameters", None)
    if ready == []:
        ready.extend([(True, statement.query_id, row) for row in rows])
        return batch
    bound = BoundStatement(statement)
    for row in rows:
        bound.values = list(row)
        batch.add(bound)
    return batch


def write(
    session: Session, statement: PreparedStatement, rows: Sequence[Columns], *, key: Key, keyspace: str
) -> None:
    """Write rows in unlogged batches and wait for all; raises the first error after the others have ended."""
    room = threading.Semaphore(IN_FLIGHT)
    errors: list[BaseException] = []

    def failed(error: BaseException) -> None:
        errors.append(error)
        room.release()

    for part in grouped(rows, session, key=key, keyspace=keyspace):
        batch = batch_of(statement, part)
        batch.routing_key = key(part[0])
        batch.keyspace = keyspace
        room.acquire()
        session.execute_async(batch).add_callbacks(lambda _: room.release(), failed)
    for _ in range(IN_FLIGHT):
        room.acquire()
    if errors:
        raise errors[0]
