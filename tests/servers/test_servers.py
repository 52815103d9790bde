# mypy: disable-error-code="no-untyped-call"
"""The test servers keep their word: they answer, survive what they should, and never outlive the tests."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import RoundRobinPolicy
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.message import Message

from tests.servers import Cassandra, Postgres, RabbitMQ, Redis, ServerError
from tests.servers.fixtures import announce
from tests.servers.keeper import descendants
from tests.servers.server import Server

pytestmark = pytest.mark.server

# What makes each server say something before anybody has logged in.
_HELLOS = {
    "redis": b"PING\r\n",
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  # SSLRequest
    "rabbitmq": b"AMQP\x00\x00\x09\x01",
    "cassandra": b"\x04\x00\x00\x00\x05\x00\x00\x00\x00",  # OPTIONS of protocol version 4
}

_SECONDS_TO_AGREE = 90.0
"""For the nodes of a ring that has just started, on a busy machine, to have a new table all."""


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cassandra]:
    with Cassandra(tmp_path_factory.mktemp("ring"), nodes=3) as server:
        announce(request.config, server)
        yield server


@contextlib.contextmanager
def session_of(server: Cassandra, *, consistency: int) -> Iterator[Session]:
    """A session whose statements have this consistency, on the event loop of libev."""
    profile = ExecutionProfile(
        load_balancing_policy=RoundRobinPolicy(), consistency_level=consistency, request_timeout=30.0
    )
    with Cluster(
        server.hosts,
        port=server.port,
        connection_class=LibevConnection,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    ) as cluster:
        yield cluster.connect()


def make_table(session: Session, *, copies: int) -> str:
    """Make a keyspace with a table of words and return the table's full name."""
    keyspace = f"k{uuid4().hex}"
    replication = f"{{'class': 'NetworkTopologyStrategy', 'datacenter1': {copies}}}"
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
    # The driver goes on after ten seconds whether the nodes agree or not, and the next statement goes to another.
    assert session.wait_for_schema_agreement(wait_time=_SECONDS_TO_AGREE)
    # One partition: a read of many that meets a dead replica waits until the ring has noticed (up to 20 s).
    session.execute(f"CREATE TABLE {keyspace}.words (page int, number int, PRIMARY KEY (page, number))")
    assert session.wait_for_schema_agreement(wait_time=_SECONDS_TO_AGREE)
    return f"{keyspace}.words"


def write_numbers(session: Session, table: str, numbers: range) -> None:
    statement = session.prepare(f"INSERT INTO {table} (page, number) VALUES (1, ?)")
    for number in numbers:
        session.execute(statement, (number,))


def read_numbers(session: Session, table: str) -> list[int]:
    return [row.number for row in session.execute(f"SELECT number FROM {table} WHERE page = 1")]


def hello(server: Server) -> socket.socket:
    """A new connection on which the server has been spoken to."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20.0)
    connection.sendall(_HELLOS[server.name])
    return connection


def declare_queue(connection: Connection) -> Queue:
    queue = Queue("kept", Exchange(""), routing_key="kept", queue_arguments={"x-queue-type": "quorum"})
    bound: Queue = queue(connection.default_channel)
    bound.queue_declare()
    return bound


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temp folder that every account can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        folder.chmod(0o711)
        yield folder


def run_up(folder: Path, *names: str) -> subprocess.Popen[bytes]:
    """`python -m tests.servers up` with its temp files in the folder; its first line comes when all are ready."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.servers", "up", *names],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(folder)},
    )


@contextlib.contextmanager
def watched(pids: list[int]) -> Iterator[list[int]]:
    """Handles of processes that are ready to read when the process is gone."""
    handles = [os.pidfd_open(pid) for pid in pids]
    try:
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def all_end(handles: list[int], *, seconds: float) -> bool:
    return all(select.select([handle], [], [], seconds)[0] for handle in handles)


def test_an_append_only_redis_keeps_every_answered_write_through_a_kill(tmp_path: Path) -> None:
    with Redis(tmp_path, appendonly=True) as server, redis.Redis.from_url(server.url) as client:
        for number in range(200):
            client.set(f"key{number}", number)
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.dbsize() == 200


def test_a_plain_redis_forgets_everything_when_it_is_killed(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("key", "value")
        before = client.info("server")["run_id"]
        redis_server.kill()
        redis_server.start()
        assert client.dbsize() == 0
        assert client.info("server")["run_id"] != before


def test_postgres_keeps_every_commit_through_a_kill_and_a_restart(postgres_server: Postgres) -> None:
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        for number in range(200):
            connection.execute("INSERT INTO kept VALUES (%s)", [number])
        postgres_server.kill()
    postgres_server.start()
    postgres_server.restart()
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (200,)
        connection.execute("DROP TABLE kept")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must give up its rights")
def test_postgres_does_not_run_as_root(postgres_server: Postgres) -> None:
    (process,) = postgres_server.processes
    assert Path(f"/proc/{process.pid}").stat().st_uid != 0


def test_confirmed_messages_in_a_quorum_queue_survive_a_kill_of_the_broker(rabbitmq_server: RabbitMQ) -> None:
    with Connection(rabbitmq_server.url, transport_options={"confirm_publish": True}) as connection:
        declare_queue(connection)
        producer = connection.Producer()
        for number in range(50):
            producer.publish(
                {"number": number}, routing_key="kept", delivery_mode=2
            )  # returns when confirmed
        rabbitmq_server.wait_for_queues("kept")
        rabbitmq_server.kill()
    rabbitmq_server.start()
    with Connection(rabbitmq_server.url) as connection:
        queue = declare_queue(connection)
        # `get` may find a quorum queue without a leader for a moment: a consumer waits instead.
        messages: list[Message] = []
        with connection.Consumer(queue, on_message=messages.append):
            while len(messages) < 50:
                connection.drain_events(timeout=20.0)
        numbers = [message.decode()["number"] for message in messages]
        assert numbers == list(range(50))
        queue.delete()


def test_one_cassandra_node_that_syncs_every_write_loses_none_through_a_kill(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with Cassandra(tmp_path, every_write_synced=True) as server:
        announce(request.config, server)
        with session_of(server, consistency=ConsistencyLevel.ONE) as session:
            table = make_table(session, copies=1)
            write_numbers(session, table, range(100))
        server.kill()
        server.start()
        with session_of(server, consistency=ConsistencyLevel.ONE) as session:
            assert read_numbers(session, table) == list(range(100))


def test_a_ring_of_three_goes_on_without_one_node_and_takes_it_back(ring: Cassandra) -> None:
    with session_of(ring, consistency=ConsistencyLevel.QUORUM) as session:
        table = make_table(session, copies=3)
        write_numbers(session, table, range(100))
        ring.kill_node(2)
        assert ring.live_nodes == [0, 1]
        write_numbers(session, table, range(100, 200))
        assert read_numbers(session, table) == list(range(200))
        ring.start_node(2)
        assert ring.live_nodes == [0, 1, 2]
        write_numbers(session, table, range(200, 300))
        assert read_numbers(session, table) == list(range(300))


@pytest.mark.parametrize("name", ["redis", "postgres", "rabbitmq", "cassandra"])
def test_a_paused_server_takes_connections_and_answers_only_when_it_resumes(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(f"{name}_server")
    with hello(server) as connection:
        assert connection.recv(1)
    server.pause()
    try:
        with hello(server) as connection:
            assert select.select([connection], [], [], 0.5)[0] == []
            server.resume()
            assert connection.recv(1)
    finally:
        server.resume()


def test_a_server_that_cannot_start_says_why_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = Redis(tmp_path, options=["no-such-option yes"])
    with pytest.raises(ServerError, match=r"redis ended while starting(.|\n)*no-such-option"):
        server.start()
    assert not any(process.running for process in server.processes)


def test_stop_removes_the_data_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    for keep in (False, True):
        server = Postgres(tmp_path, keep=keep)
        server.start()
        data = (server.home / "data").resolve()
        server.stop()
        assert data.exists() is keep
        assert server.home.exists() is keep
    server.keep = False
    server.stop()
    assert list(tmp_path.iterdir()) == []


def test_nothing_runs_any_more_after_the_test_process_was_killed(open_folder: Path) -> None:
    with run_up(open_folder, "redis", "postgres", "rabbitmq") as owner:
        assert owner.stdout is not None
        environment = json.loads(owner.stdout.readline())
        assert set(environment) == {"NOTIFYHUB_REDIS_URL", "DATABASE_URL", "NOTIFYHUB_BROKER_URL"}
        with watched(list(descendants(owner.pid))) as handles:
            assert len(handles) > 10  # four keepers, Redis, PostgreSQL's family, Erlang's and epmd
            owner.send_signal(signal.SIGKILL)
            assert all_end(handles, seconds=20.0)
    assert list(open_folder.glob("notifyhub-postgres-*")) == []


def test_a_server_dies_with_its_keeper(tmp_path: Path) -> None:
    with Redis(tmp_path) as server, watched([server.processes[0].pid]) as handles:
        os.kill(server.processes[0].keeper_pid, signal.SIGKILL)
        assert all_end(handles, seconds=10.0)


def test_up_stops_everything_on_sigterm_and_leaves_no_file(open_folder: Path) -> None:
    with run_up(open_folder, "redis", "postgres") as owner:
        assert owner.stdout is not None
        environment = json.loads(owner.stdout.readline())
        with redis.Redis.from_url(environment["NOTIFYHUB_REDIS_URL"]) as client:
            assert client.ping()
        with watched(list(descendants(owner.pid))) as handles:
            owner.terminate()
            assert owner.wait(20.0) == 0
            assert all_end(handles, seconds=1.0)
    assert list(open_folder.iterdir()) == []
