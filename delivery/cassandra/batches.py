"""Batches of prepared writes, grouped by replica and bounded in rows and bytes, many in flight."""

import threading
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from cassandra.cluster import Session
from cassandra.metadata import Token
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement

ROWS = 100
BYTES = 30_000
"""Well below Cassandra's default `batch_size_fail_threshold` of 50 KiB."""
IN_FLIGHT = 16


class Write(NamedTuple):
    """One row to write: its partition key as the driver routes by it, and its columns in Cassandra's own bytes."""

    key: bytes
    columns: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.columns)) + 4 * len(self.columns)


def composite(first: bytes, second: bytes) -> bytes:
    """Return a partition key of two columns as Cassandra hashes it."""
    return b"%b%b\0%b%b\0" % (len(first).to_bytes(2, "big"), first, len(second).to_bytes(2, "big"), second)


def grouped(writes: Sequence[Write], session: Session, keyspace: str) -> Iterable[list[Write]]:
    """Yield the writes in batches whose rows share their replicas."""
    ring = session.cluster.metadata.token_map
    token: type[Token] | None = ring.token_class if ring is not None else None

    def replicas(write: Write) -> tuple[str, ...]:
        if ring is None or token is None:
            return ()
        return tuple(sorted(host.address for host in ring.get_replicas(keyspace, token.from_key(write.key))))

    single = ring is None or len(session.cluster.metadata.all_hosts()) == 1
    ordered = writes if single else sorted(writes, key=replicas)
    for _, same in groupby(ordered, key=(lambda _: ()) if single else replicas):
        batch: list[Write] = []
        size = 0
        for write in same:
            if batch and (len(batch) == ROWS or size + write.size > BYTES):
                yield batch
                batch, size = [], 0
            batch.append(write)
            size += write.size
        if batch:
            yield batch


def write(session: Session, statement: PreparedStatement, writes: Sequence[Write], *, keyspace: str) -> None:
    """Write rows in unlogged batches and wait for all; raises the first error after the others have ended."""
    room = threading.Semaphore(IN_FLIGHT)
    errors: list[BaseException] = []

    def failed(error: BaseException) -> None:
        errors.append(error)
        room.release()

    for part in grouped(writes, session, keyspace):
        batch = BatchStatement(BatchType.UNLOGGED)
        # One bound statement, given the ready bytes of each row in turn: binding would turn every value into
        # bytes once more, which is most of what a batch costs.
        bound = BoundStatement(statement)
        for row in part:
            bound.values = list(row.columns)
            batch.add(bound)
        batch.routing_key = part[0].key
        batch.keyspace = keyspace
        room.acquire()
        session.execute_async(batch).add_callbacks(lambda _: room.release(), failed)
    for _ in range(IN_FLIGHT):
        room.acquire()
    if errors:
        raise errors[0]
