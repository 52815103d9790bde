"""`python -m bench servers`: the production servers, kept running, so that benchmarks with `--reuse` begin at once.

Cassandra alone takes 10 s to start, ten times as long on a busy machine, and compiles itself for minutes. Every
benchmark makes a database, a keyspace and a virtual host of its own in them, and drops these at its end.
"""

import argparse
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg
import redis
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import WhiteListRoundRobinPolicy

from bench import result
from tests.servers.cassandra import Cassandra
from tests.servers.postgres import Postgres
from tests.servers.process import ServerError
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis
from tests.servers.server import Server

KEPT = Path(__file__).parent / ".cache" / "servers.json"
SECONDS_TO_START = 600.0
"""The machine may be busy with something else."""
Tell = Callable[[str], None]


class Servers(msgspec.Struct, frozen=True):
    """Running servers: the hub's environment for them, their process ids by name.

    `broker` is the environment in which Erlang's tools reach RabbitMQ.
    """

    environment: dict[str, str]
    pids: dict[str, list[int]]
    broker: dict[str, str]


class ServersError(Exception):
    """There are no servers to be reused; says what to do."""


@contextmanager
def started(folder: Path, *, tell: Tell, counted: bool) -> Iterator[Servers]:
    """Start all four on fresh data in `folder`, at the same time, and stop them at the end.

    `counted`: PostgreSQL counts its statements (pg_stat_statements), which costs it a little.
    """
    postgres, rabbitmq = Postgres(folder), RabbitMQ(folder)
    servers: list[Server] = [Redis(folder), postgres, rabbitmq, Cassandra(folder)]
    with ExitStack() as stack, ThreadPoolExecutor(len(servers)) as pool:
        for server in servers:
            server.max_seconds_to_start = SECONDS_TO_START  # type: ignore[misc]
            stack.callback(server.stop)
        list(pool.map(lambda server: server.start(), servers))
        if counted:
            _count_statements(postgres)
        environment: dict[str, str] = {}
        for server in servers:
            tell(f"{server.name} ready in {server.startup_seconds:.1f} s")
            environment |= server.environment()
        pids = {server.name: [process.pid for process in server.processes] for server in servers}
        yield Servers(environment, pids, rabbitmq.control)


def _count_statements(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    postgres.restart()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")


@contextmanager
def reused() -> Iterator[Servers]:
    """Yield the kept servers with a database, a keyspace and a virtual host that are empty, and drop these at the end.

    Redis is emptied. Raises `ServersError`.
    """
    if not KEPT.exists():
        raise ServersError("no servers are kept: run `python -m bench servers` in another terminal")
    kept = msgspec.json.decode(KEPT.read_bytes(), type=Servers)
    if not all(Path(f"/proc/{pid}").exists() for pids in kept.pids.values() for pid in pids):
        raise ServersError("the kept servers are gone: run `python -m bench servers` in another terminal")
    name = f"bench_{secrets.token_hex(4)}"
    database, broker = kept.environment["DATABASE_URL"], kept.environment["NOTIFYHUB_BROKER_URL"]
    with redis.Redis.from_url(kept.environment["NOTIFYHUB_REDIS_URL"]) as client:
        client.flushall()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(_at(database, name), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
    user, host = f'<<"{urlsplit(broker).username}">>', f'<<"{name}">>'
    erlang(kept.broker, f"rabbit_vhost:add({host}, {user})")
    granted = f'{user}, {host}, <<".*">>, <<".*">>, <<".*">>, {user}'
    erlang(kept.broker, f"rabbit_auth_backend_internal:set_permissions({granted})")
    try:
        yield Servers(
            {
                **kept.environment,
                "DATABASE_URL": _at(database, name),
                "NOTIFYHUB_BROKER_URL": _at(broker, name),
                "NOTIFYHUB_CASSANDRA_KEYSPACE": name,
            },
            kept.pids,
            kept.broker,
        )
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        erlang(kept.broker, f"rabbit_vhost:delete({host}, {user})")
        _drop_keyspace(kept.environment, name)


def _at(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _drop_keyspace(environment: Mapping[str, str], name: str) -> None:
    hosts = environment["NOTIFYHUB_CASSANDRA_HOSTS"].split(",")[:1]
    profile = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy(hosts), request_timeout=60.0)
    with Cluster(
        hosts,
        port=int(environment["NOTIFYHUB_CASSANDRA_PORT"]),
        connection_class=LibevConnection,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    ) as cluster:
        cluster.connect().execute(f"DROP KEYSPACE IF EXISTS {name}")


def erlang(broker: Mapping[str, str], expression: str) -> str:
    """Let the broker evaluate an expression; return what it came to, as Erlang writes it. Raises `ServersError`."""
    cookie = (Path(broker["HOME"]) / ".erlang.cookie").read_text().strip()
    try:
        done = subprocess.run(
            ["erl_call", "-sname", broker["RABBITMQ_NODENAME"], "-c", cookie, "-e"],
            input=f"{expression}.\n",
            env=dict(broker),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        raise ServersError("there is no `erl_call` on PATH; it comes with Erlang (erlang-base)") from None
    if not done.stdout.startswith("{ok,"):
        raise ServersError(f"{expression}: {(done.stderr or done.stdout).strip()[:500]}")
    return done.stdout


def main(argv: Sequence[str]) -> int:
    """Keep servers running until Ctrl-C."""
    argparse.ArgumentParser(prog="python -m bench servers", description=__doc__).parse_args(argv)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="notifyhub-bench-") as name,
            contextlib.suppress(KeyboardInterrupt),
        ):
            # PostgreSQL under root runs as another account, which must reach its data.
            Path(name).chmod(0o711)
            with started(Path(name), tell=_tell, counted=True) as servers:
                KEPT.parent.mkdir(exist_ok=True)
                KEPT.touch(0o600)
                KEPT.write_bytes(msgspec.json.encode(servers))
                _tell(f"kept until Ctrl-C; process {os.getpid()}")
                signal.pause()
    except ServerError as error:
        print(f"bench: {error}", file=sys.stderr)
        return result.UNUSABLE
    finally:
        KEPT.unlink(missing_ok=True)
    return result.DELIVERED


def _tell(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
