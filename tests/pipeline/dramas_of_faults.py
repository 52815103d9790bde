"""Faults in the middle of a campaign to many people: nothing is lost, nobody sees a notice twice, and it goes on."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.pipeline.company import Company
from tests.pipeline.production import site
from tests.servers.cassandra import Cassandra
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

pytestmark = pytest.mark.server

PEOPLE = int(os.environ.get("NOTIFYHUB_DRAMA_PEOPLE", "20000"))
PEOPLE_WITH_CASSANDRA = 4_000
TAKEN_OVER_SECONDS = 15.0
"""What a worker held when it died is in other hands by then; servers that come back are used again by then."""
PATIENCE = 120.0 + PEOPLE / 100
"""Seconds after which a drama is given up."""


@pytest.fixture(scope="module")
def company(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: Postgres,
    redis_server: Redis,
    rabbitmq_server: RabbitMQ,
) -> Iterator[Company]:
    """One hub for all the dramas: two workers of the rest lanes, three clocks, the log in PostgreSQL."""
    made = site(
        tmp_path_factory.mktemp("company"),
        postgres=postgres_server,
        redis=redis_server,
        rabbitmq=rabbitmq_server,
        database="faults",
    )
    servers = {"postgres": postgres_server, "redis": redis_server, "rabbitmq": rabbitmq_server}
    with Company(made, servers, people=PEOPLE) as hub:
        yield hub


def check(report: dict[str, Any], capsys: pytest.CaptureFixture[str], title: str) -> None:
    """Print what a drama came to, and demand what holds after each: balances, screens, repeats, time to recover."""
    with capsys.disabled():
        print(
            f"\n{title}: {report['repeats']} provider calls repeated, {report['in_flight']} messages in the parcels "
            f"in flight; work lay about for {report['taken_over_seconds']} s at most (promised: "
            f"{TAKEN_OVER_SECONDS:g} s)"
            + (f"; recovered in {report['recovered_seconds']} s" if "recovered_seconds" in report else "")
            + f"; {report['seconds']} s in all"
        )
    assert report["faults"] == []
    assert report["audience"] == report["people"]
    assert report["two_notices"] == 0
    assert report["repeats"] <= report["in_flight"]
    assert report["taken_over_seconds"] <= TAKEN_OVER_SECONDS
    assert report.get("recovered_seconds", 0.0) <= TAKEN_OVER_SECONDS


def test_killed_workers_and_clocks_lose_nothing(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    report = company.play("kills", within=PATIENCE)
    check(report, capsys, f"killed {', '.join(report['killed'])}")
    assert sum(report["held_at_faults"]) > 0, "no worker was killed with work in its hands"


def test_a_broker_that_is_away_for_twenty_seconds_delays_and_loses_nothing(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("broker_away", within=PATIENCE)
    check(report, capsys, "RabbitMQ away for 20 s")
    assert report["left_at_faults"][0] > 0, "the run was over before the broker went"
    assert report["events"] > 20 and report["events_open"] == 0
    assert report["slowest_answer"] < 2.0, "a broker that is down slows nothing at the intake"


def test_a_redis_that_forgets_everything_loses_nothing(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("memory_lost", within=PATIENCE)
    check(report, capsys, "Redis flushed, then restarted")
    assert all(left > 0 for left in report["left_at_faults"]), "the run was over before Redis went"
    assert report["on_sockets"] == report["sockets"]
    assert report["caught_up_seconds"] <= TAKEN_OVER_SECONDS


def test_three_clocks_start_everything_once(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    report = company.play("three_clocks", within=PATIENCE)
    check(report, capsys, "three clocks")
    assert report["clocks"] == 3
    assert report["runs"] == 1
    assert report["events"] == report["schedules"]
    assert report["repeats"] == 0
    assert report["late_seconds"] < 3.0


def test_the_same_bell_for_two_workers_at_once_sends_nothing_twice(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("same_bell_twice", within=PATIENCE)
    check(report, capsys, f"{report['bells']} bells, taken by {report['taken_by_worker']}")
    assert all(taken > 0 for taken in report["taken_by_worker"]), "one of the workers had nothing to do"
    assert report["taken_over"] == 0
    assert report["repeats"] == 0


def test_a_database_that_restarts_and_one_that_is_killed_lose_nothing(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("database_away", within=PATIENCE)
    check(report, capsys, "PostgreSQL restarted, then killed")
    assert sum(report["held_at_faults"]) > 0, "nobody worked when the database went"
    assert ": 503 " in report["refusal"]


def test_a_rolling_restart_calls_no_provider_twice(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("rolling_restart", within=PATIENCE)
    check(
        report,
        capsys,
        f"{report['restarted']} processes restarted, the slowest ended in {report['slowest_end']} s",
    )
    assert report["held_at_term"] > 0, "no worker was asked to end with work in its hands"
    assert report["left_at_end"] > 0, "the run was over before the last worker was restarted"
    assert report["taken_over"] == 0
    assert report["repeats"] == 0


def test_killed_workers_and_a_killed_database_lose_nothing_with_the_log_in_cassandra(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: Postgres,
    redis_server: Redis,
    rabbitmq_server: RabbitMQ,
    cassandra_server: Cassandra,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = site(
        tmp_path_factory.mktemp("cassandra"),
        postgres=postgres_server,
        redis=redis_server,
        rabbitmq=rabbitmq_server,
        cassandra=cassandra_server,
        database="faults_cassandra",
    )
    with Company(made, {"postgres": postgres_server}, people=PEOPLE_WITH_CASSANDRA) as hub:
        report = hub.play("kills", within=PATIENCE)
        check(report, capsys, "with the log in Cassandra, killed")
        report = hub.play("database_away", within=PATIENCE)
        check(report, capsys, "with the log in Cassandra, PostgreSQL restarted and killed")
