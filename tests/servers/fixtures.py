"""Session-wide servers for pytest: each is started by the first test that asks for it and stopped at the end."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.cassandra import Cassandra
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis
from tests.servers.server import Server


@pytest.fixture(scope="session")
def servers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's servers keep their data and logs."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A Redis that answers and forgets everything when it is killed or restarted."""
    with Redis(servers_folder) as server:
        announce(request.config, server)
        yield server


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path, request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL cluster with the empty database `notifyhub`."""
    with Postgres(servers_folder) as server:
        announce(request.config, server)
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server(servers_folder: Path, request: pytest.FixtureRequest) -> Iterator[RabbitMQ]:
    """A RabbitMQ broker without queues."""
    with RabbitMQ(servers_folder) as server:
        announce(request.config, server)
        yield server


@pytest.fixture(scope="session")
def cassandra_server(servers_folder: Path, request: pytest.FixtureRequest) -> Iterator[Cassandra]:
    """One Cassandra node without keyspaces; a test that kills nodes makes a ring of its own."""
    with Cassandra(servers_folder) as server:
        announce(request.config, server)
        yield server


def announce(config: pytest.Config, server: Server) -> None:
    """Say on the terminal how long a server took to start."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        if reporter:
            line = f"{server.name} ready on port {server.port} in {server.startup_seconds:.1f} s"
            reporter.ensure_newline()
            reporter.write_line(line)
