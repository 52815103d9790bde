"""A hub on production parts: the environment that points it at real servers, and its commands."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.servers.cassandra import Cassandra
from tests.servers.postgres import Postgres
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

ROOT = Path(__file__).parents[2]


@dataclass
class Site:
    """One hub's data folder and environment."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, within: float) -> subprocess.CompletedProcess[str]:
        """Run a Python program in the hub's environment; its standard error goes to the test's."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            text=True,
            timeout=within,
        )

    def report(self, *command: str, within: float) -> dict[str, Any]:
        """Run a program and return the JSON of its last line; a failure shows the end of the hub's log."""
        done = self.run(*command, within=within)
        log = self.folder / "hub.log"
        tail = log.read_text(errors="replace")[-3_000:] if log.exists() else ""
        assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout[-2_000:]}\n{tail}"
        report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return report


def new_database(postgres: Postgres, name: str) -> str:
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return postgres.url_of(name)


def site(
    folder: Path,
    *,
    postgres: Postgres,
    redis: Redis,
    rabbitmq: RabbitMQ,
    database: str,
    cassandra: Cassandra | None = None,
) -> Site:
    """Return a prepared hub on real servers, with a database of its own."""
    environment = {
        "NOTIFYHUB_DATA_DIR": str(folder),
        "NOTIFYHUB_PORT": str(free_port()),
        "NOTIFYHUB_REDIS_URL": redis.url,
        "NOTIFYHUB_BROKER_URL": rabbitmq.url,
        "DATABASE_URL": new_database(postgres, database),
    }
    if cassandra is not None:
        environment |= {**cassandra.environment(), "NOTIFYHUB_CASSANDRA_KEYSPACE": database}
    made = Site(folder, environment)
    done = made.run("manage.py", "prepare", within=120)
    assert done.returncode == 0, done.stdout
    return made
