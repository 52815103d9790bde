"""The main job on PostgreSQL, RabbitMQ and Redis, and workers that sleep in the middle of it."""

from pathlib import Path

import pytest

from tests.pipeline.production import Site, site
from tests.servers.cassandra import Cassandra
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

pytestmark = pytest.mark.server


@pytest.fixture
def production(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    postgres_server: Postgres,
    redis_server: Redis,
    rabbitmq_server: RabbitMQ,
) -> Site:
    """A prepared hub on PostgreSQL, Redis and RabbitMQ."""
    name = request.node.name.removeprefix("test_")[:50]
    return site(
        tmp_path, postgres=postgres_server, redis=redis_server, rabbitmq=rabbitmq_server, database=name
    )


def test_the_main_job_runs_on_production_parts(production: Site) -> None:
    report = production.report("manage.py", "demo", "--once", within=180)
    assert report["audience"] == sum(report["stopped"].values()) + report["logged"] == 1_000
    assert report["messages"] == sum(report["outcomes"].values())
    assert production.run("manage.py", "doctor", "ledger", within=60).returncode == 0


def test_the_main_job_runs_with_the_log_in_cassandra(
    tmp_path: Path,
    postgres_server: Postgres,
    redis_server: Redis,
    rabbitmq_server: RabbitMQ,
    cassandra_server: Cassandra,
) -> None:
    made = site(
        tmp_path,
        postgres=postgres_server,
        redis=redis_server,
        rabbitmq=rabbitmq_server,
        cassandra=cassandra_server,
        database="with_cassandra",
    )
    report = made.report("manage.py", "demo", "--once", within=180)
    assert report["audience"] == sum(report["stopped"].values()) + report["logged"] == 1_000
    assert report["messages"] == sum(report["outcomes"].values())
    assert made.run("manage.py", "doctor", "ledger", within=60).returncode == 0


def test_a_device_that_reads_while_the_worker_sleeps_gets_the_entry(production: Site) -> None:
    report = production.report("-m", "tests.pipeline.drive", "sleep", within=300)
    assert report["reads"] > 30
    assert report["reader_has_it"]
    assert report["page_fence"] == 1, "nobody else took the page"
    assert report["faults"] == []


def test_a_sleeper_whose_page_was_taken_over_commits_nothing(production: Site) -> None:
    report = production.report("-m", "tests.pipeline.drive", "usurped", within=300)
    assert report["reader_has_it"]
    assert report["page_fence"] == 2, "the substitute took the page when the lease ran out"
    assert report["faults"] == []
    assert report["two_notices"] == 0
