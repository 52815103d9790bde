"""Faults in the middle of campaigns: nothing is lost, nobody sees a notice twice, and it goes on within the lease."""

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

PEOPLE = int(os.environ.get("NOTIFYHUB_DRAMA_PEOPLE", "100000"))
"""Whom the run is for through which workers and clocks are killed."""
FEW, FEWER = 6_000, 2_000
"""Whom a run of the other dramas is for; they have as many runs as they need."""
RECOVERED_SECONDS = 15.0
"""What a worker held when it died is in other hands by then; servers that come back are used again by then."""
PATIENCE = 900.0
"""Seconds after which a drama is given up, and more for many people."""


@pytest.fixture(scope="module")
def company(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: Postgres,
    redis_server: Redis,
    rabbitmq_server: RabbitMQ,
) -> Iterator[Company]:
    """One hub for most dramas: two workers of the rest lanes, three clocks, the log in PostgreSQL."""
    made = site(
        tmp_path_factory.mktemp("company"),
        postgres=postgres_server,
        redis=redis_server,
        rabbitmq=rabbitmq_server,
        database="faults",
    )
    servers = {"postgres": postgres_server, "redis": redis_server, "rabbitmq": rabbitmq_server}
    with Company(made, servers) as hub:
        yield hub


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cassandra]:
    """Three nodes of Cassandra."""
    with Cassandra(tmp_path_factory.mktemp("ring"), nodes=3) as server:
        yield server


@pytest.fixture(scope="module")
def company_with_ring(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: Postgres,
    redis_server: Redis,
    rabbitmq_server: RabbitMQ,
    ring: Cassandra,
) -> Iterator[Company]:
    """The same with the log in Cassandra, three times."""
    made = site(
        tmp_path_factory.mktemp("company_with_ring"),
        postgres=postgres_server,
        redis=redis_server,
        rabbitmq=rabbitmq_server,
        cassandra=ring,
        database="faults_with_ring",
    )
    servers = {
        "postgres": postgres_server,
        "redis": redis_server,
        "rabbitmq": rabbitmq_server,
        "cassandra": ring,
    }
    with Company(made, servers) as hub:
        yield hub


def check(report: dict[str, Any], capsys: pytest.CaptureFixture[str], title: str) -> None:
    """Print what a drama came to, and demand what holds after each: balances, screens, repeats, time to recover."""
    recovered, waited = report["recovered_seconds"], report["waited_seconds"]
    with capsys.disabled():
        print(
            f"\n{title}: {report['runs']} runs, {report['people']} people; {report['repeats']} provider calls "
            f"repeated, {report['in_flight']} messages in the parcels in flight; recovered in {recovered} s at most "
            f"(promised: {RECOVERED_SECONDS:g} s), {waited} s of it waiting for a core; {report['seconds']} s in all"
        )
    assert report["faults"] == [], "the balances"
    assert report["audience"] == report["people"]
    assert report["two_notices"] == 0
    assert report["repeats"] <= report["in_flight"]
    assert recovered - waited <= RECOVERED_SECONDS, "time to recover"
    assert all(left > 0 for left in report["left_at_faults"]), "the runs were over before the fault"


def test_a_broker_that_is_away_for_twenty_seconds_delays_and_loses_nothing(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("broker_away", people=FEW, within=PATIENCE)
    check(report, capsys, f"RabbitMQ away for 20 s, events answered in {report['middle_answer']} s")
    assert report["events"] > 0 and report["events_open"] == 0
    assert report["middle_answer"] < 1.0, "a broker that is down slows nothing at the intake"


def test_a_redis_that_forgets_everything_loses_nothing(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("memory_lost", people=FEW, within=PATIENCE)
    check(report, capsys, "Redis flushed, then restarted")
    assert report["on_sockets"] == report["sockets"]


def test_three_clocks_start_everything_once(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    report = company.play("three_clocks", people=FEW, within=PATIENCE)
    check(report, capsys, f"three clocks, {report['late_seconds']} s after the instant")
    assert report["clocks"] == 3
    assert report["launches"] == 1
    assert report["events"] == report["schedules"]
    assert report["repeats"] == 0
    assert not report["early"]


def test_the_same_bell_for_two_workers_at_once_sends_nothing_twice(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("same_bell_twice", people=FEW, within=PATIENCE)
    check(report, capsys, f"{report['bells']} bells, taken by {report['taken_by_worker']}")
    assert report["claimed_twice"] == 0
    assert report["repeats"] == 0


def test_a_database_that_restarts_and_one_that_is_killed_lose_nothing(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("database_away", people=FEW, within=PATIENCE)
    check(report, capsys, "PostgreSQL restarted, then killed")
    assert ": 503 " in report["refusal"]


def test_a_rolling_restart_calls_no_provider_twice(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company.play("rolling_restart", people=FEW, within=PATIENCE)
    check(
        report,
        capsys,
        f"{report['restarted']} processes restarted, the slowest ended in {report['slowest_end']} s",
    )
    assert sum(report["held_at_faults"]) > 0, "no worker was asked to end with work in its hands"
    assert report["claimed_twice"] == 0
    assert report["repeats"] == 0


def test_killed_workers_and_clocks_lose_nothing(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    report = company.play("kills", people=PEOPLE, within=PATIENCE + PEOPLE / 50)
    check(report, capsys, f"killed {', '.join(report['killed'])}")
    assert sum(report["held_at_faults"]) > 0, "no worker was killed with work in its hands"


def test_killed_workers_lose_nothing_with_the_log_in_cassandra(
    company_with_ring: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company_with_ring.play("kills", people=FEWER, within=PATIENCE)
    check(report, capsys, f"with the log in Cassandra, killed {', '.join(report['killed'])}")
    assert sum(report["held_at_faults"]) > 0, "no worker was killed with work in its hands"


def test_a_killed_database_loses_nothing_with_the_log_in_cassandra(
    company_with_ring: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company_with_ring.play("database_away", people=FEWER, within=PATIENCE)
    check(report, capsys, "with the log in Cassandra, PostgreSQL restarted and killed")


def test_a_run_goes_on_when_one_of_three_nodes_of_cassandra_is_killed(
    company_with_ring: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    report = company_with_ring.play("log_node_killed", people=FEWER, within=PATIENCE)
    check(report, capsys, "one of three nodes of Cassandra killed, and back")
