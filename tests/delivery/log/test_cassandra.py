"""The log in a real Cassandra keeps the same contract as the relational one."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster
from cassandra.query import dict_factory

from delivery import positions
from delivery.cassandra import connection
from delivery.cassandra.store import CassandraLogStore, SchemaError
from delivery.log.store import LogEntry, LogStore
from tests.delivery.log.contract import NOW, LogStoreContract, entry
from tests.delivery.log.writing import append
from tests.servers.cassandra import Cassandra

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[3]
KEYSPACE = "notifyhub"


def manage(server: Cassandra, *command: str, keyspace: str = KEYSPACE) -> subprocess.CompletedProcess[str]:
    """Run a management command as an operator would, against the server."""
    environment = {
        **os.environ,
        "NOTIFYHUB_LOG_STORE": "cassandra",
        "NOTIFYHUB_CASSANDRA_HOSTS": ",".join(server.hosts),
        "NOTIFYHUB_CASSANDRA_PORT": str(server.port),
        "NOTIFYHUB_CASSANDRA_KEYSPACE": keyspace,
    }
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def connected(server: Cassandra) -> Cluster:
    """Return a cluster with the product's own options."""
    options = connection.options(
        hosts=server.hosts,
        port=server.port,
        keyspace=KEYSPACE,
        replication=1,
        datacenter="",
        username="",
        password="",
    )["OPTIONS"]["connection"]
    driver = {name: value for name, value in options.items() if name not in ("lazy_connect", "retry_connect")}
    driver["execution_profiles"][EXEC_PROFILE_DEFAULT].row_factory = dict_factory
    return Cluster(server.hosts, **driver)


@pytest.fixture(scope="module")
def store(cassandra_server: Cassandra) -> Iterator[CassandraLogStore]:
    """The store on tables that `sync_cassandra` made."""
    synced = manage(cassandra_server, "sync_cassandra")
    assert synced.returncode == 0, synced.stderr
    cluster = connected(cassandra_server)
    found = CassandraLogStore(keyspace=KEYSPACE, days=30)
    found.session = cluster.connect()
    yield found
    cluster.shutdown()


class TestCassandraLogStore(LogStoreContract):
    def test_a_large_page_goes_in_batches_that_cassandra_takes(self, store: CassandraLogStore) -> None:
        run = uuid.uuid4()
        entries = [entry(uuid.uuid4(), NOW, run=run, body=b"x" * 4_000) for _ in range(200)]
        append(entries, store)
        assert sum(1 for _ in store.identities(run)) == 200

    def test_rows_are_forgotten_by_their_time_to_live(self, store: CassandraLogStore) -> None:
        brief = CassandraLogStore(keyspace=KEYSPACE, days=1)
        brief.session = store.session
        written = entry(uuid.uuid4(), NOW)
        append([written], brief)
        row = store.session.execute(
            f"SELECT TTL(body) AS left FROM {KEYSPACE}.log_entries WHERE subscriber = %s AND month = %s",
            (written.subscriber, time.gmtime(NOW).tm_year * 12 + time.gmtime(NOW).tm_mon - 1),
        ).one()
        assert 86_000 < row["left"] <= 86_400

    def test_entries_on_both_sides_of_a_month_are_read_in_order(self, store: LogStore) -> None:
        subscriber = uuid.uuid4()
        year, month = time.gmtime(NOW)[:2]
        start = time.mktime((year, month, 1, 0, 0, 0, 0, 0, 0)) - time.timezone
        entries = [entry(subscriber, start + offset) for offset in (-2, -1, 0, 1)]
        append(entries, store)
        assert store.read(subscriber, after=positions.floor(start - 1.5), limit=2) == entries[1:3]


def test_a_missing_keyspace_is_named_with_what_to_do(store: CassandraLogStore) -> None:
    stranger = CassandraLogStore(keyspace="nothing_here", days=30)
    stranger.session = store.session
    with pytest.raises(SchemaError, match="sync_cassandra"):
        stranger.check()


def test_a_table_that_differs_is_named(store: CassandraLogStore) -> None:
    keyspace = "notifyhub_old"
    run = store.session.execute
    run(
        f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    run(f"CREATE TABLE {keyspace}.log_entries (subscriber uuid PRIMARY KEY, body blob)")
    old = CassandraLogStore(keyspace=keyspace, days=30)
    old.session = store.session
    with pytest.raises(SchemaError, match="log_entries"):
        old.check()


def test_syncing_twice_changes_nothing(store: CassandraLogStore, cassandra_server: Cassandra) -> None:
    written = entry(uuid.uuid4(), NOW)
    append([written], store)
    assert manage(cassandra_server, "sync_cassandra").returncode == 0
    assert store.read(written.subscriber, after=positions.START, limit=1) == [written]
    assert isinstance(written, LogEntry)
