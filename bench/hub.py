"""A hub in one of its two sizes for a benchmark: the servers it needs, its environment, its prepared data folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.servers.cassandra import Cassandra
from tests.servers.postgres import Postgres
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis
from tests.servers.server import Server

ROOT = Path(__file__).resolve().parent.parent
SIZES = ("embedded", "production")
_OURS = ("NOTIFYHUB_", "DATABASE_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS")


class HubError(Exception):
    """The hub's data folder cannot be prepared, or its process failed; says why."""


@dataclass(frozen=True)
class Place:
    """Where a hub is to run: the environment of its processes, the servers beside it by name.

    `broker` is the environment in which Erlang's tools reach RabbitMQ, empty where there is none.
    """

    size: str
    folder: Path
    environment: Mapping[str, str]
    servers: Mapping[str, list[int]]
    broker: Mapping[str, str]


@contextmanager
def place(size: str, folder: Path, *, tell: Callable[[str], None], counted: bool = False) -> Iterator[Place]:
    """Start what a size needs on fresh data in `folder`, prepare the hub's data folder, and stop all at the end.

    `counted`: PostgreSQL counts its statements (pg_stat_statements), which costs it a little.
    """
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    environment |= {
        "NOTIFYHUB_DATA_DIR": str(folder / "hub"),
        "NOTIFYHUB_PORT": str(free_port()),
        "NOTIFYHUB_REDIS_PORT": str(free_port()),
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:
        servers: dict[str, list[int]] = {}
        broker: dict[str, str] = {}
        if size == "production":
            postgres, rabbitmq = Postgres(folder), RabbitMQ(folder)
            started = _start_all([Redis(folder), postgres, rabbitmq, Cassandra(folder)], stack)
            if counted:
                _count_statements(postgres)
            broker = rabbitmq.control
            for server in started:
                tell(f"{server.name} ready in {server.startup_seconds:.1f} s")
                environment |= server.environment()
                servers[server.name] = [process.pid for process in server.processes]
        _prepare(environment)
        yield Place(size, folder, environment, servers, broker)


def _count_statements(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    postgres.restart()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")


def _start_all(servers: list[Server], stack: ExitStack) -> list[Server]:
    """Start servers at the same time; the stack stops them, also when one of them does not start."""
    with ThreadPoolExecutor(len(servers)) as pool:
        for server in servers:
            stack.callback(server.stop)
        list(pool.map(lambda server: server.start(), servers))
    return servers


def _prepare(environment: Mapping[str, str]) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "prepare"]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise HubError(f"`manage.py prepare` failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")


def run_there(module: str, argument: str, where: Place) -> None:
    """Run one of our modules in a place's environment until it ends; raises `HubError` when it fails.

    It has its own process, because Django's settings are read once. It ends with this one.
    """
    from notifyhub.orphans import die_with_parent

    with (
        subprocess.Popen(
            [sys.executable, "-m", module, argument],
            cwd=ROOT,
            env=dict(where.environment),
            stdout=sys.stderr,
            start_new_session=True,  # a terminal's Ctrl-C comes once, from here: a second one would cut its tidying up
            preexec_fn=die_with_parent(),
        ) as process
    ):
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if status:
        raise HubError(f"the {where.size} course failed; what it said stands above")
