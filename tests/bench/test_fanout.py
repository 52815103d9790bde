import json
from datetime import UTC, datetime

import msgspec
import pytest

from bench import command, growing, memory, others, result
from bench import fanout as fanout_bench
from bench.report import Counted, Growth, Memory, Ours, Report
from tests.bench.test_main import TURN, report

OTHER = others.Sent(
    messages=50, sent=50, accepted=50, refused={}, seconds=1.0, cpu_seconds=0.1, version="other 1.0"
)
OURS = {name: getattr(TURN, name) for name in Ours.__struct_fields__}
COUNTED = Counted(
    **OURS,
    pages=2,
    parcels=6,
    asked={"postgres.statements": 40, "redis.round_trips": 10},
    statements={"SELECT 1": 8},
    memory=[],
)


def beside(**sent: others.Sent) -> Report:
    return msgspec.structs.replace(report(TURN), others=sent)


def test_ratios_say_what_ours_cost_over_the_programs_that_only_send():
    ratios = fanout_bench.ratios_of(beside(firebase_admin=OTHER))
    # ours 200 ms per 1,000, servers 10, Go 100, the other 2,000
    assert ratios == {
        "cpu": 2.0,
        "cpu_with_servers": 2.1,
        "seconds_to_first_phone": 0.3,
        "cpu_over_firebase_admin": 0.1,
    }


def test_every_other_sender_has_a_goal():
    goals = result.read_goals(fanout_bench.NAME)
    assert {f"cpu_over_{name}" for name in others.PROGRAMS} < goals.keys()


def test_another_sender_that_did_not_deliver_spoils_the_run():
    nearly, short = (msgspec.structs.replace(OTHER, accepted=count) for count in (48, 47))
    assert fanout_bench.unsent(beside(firebase_admin=OTHER)) == []
    assert fanout_bench.unsent(beside(firebase_admin=nearly)) == []
    (sentence,) = fanout_bench.unsent(beside(firebase_admin=short))
    assert sentence.startswith("firebase_admin: 47 of 50 arrived")


def test_a_message_more_than_was_expected_is_a_fault_too():
    doubled = msgspec.structs.replace(TURN, delivered=101)
    assert command.undelivered([doubled], "here")


def grown(**changes: object) -> Growth:
    many = msgspec.structs.replace(COUNTED, **changes)
    return Growth(
        online=2, small_online=2, connect_seconds=1.0, populate_seconds=1.0, small=[COUNTED], large=many
    )


def test_growth_compares_a_device_of_many_with_one_of_few():
    ratios = growing.ratios_of(grown(devices=1_000, cpu={"rest": 0.22}, seconds=0.1))
    assert ratios["growth_cpu"] == pytest.approx(1.1)
    assert ratios["seconds_for_a_million"] == pytest.approx(100)


def test_the_server_that_is_asked_more_for_a_device_is_the_one_that_counts():
    ratios = growing.ratios_of(
        grown(devices=2 * COUNTED.devices, asked={"postgres.statements": 80, "redis.round_trips": 30})
    )
    assert ratios["growth_asked"] == pytest.approx(1.5)


def test_memory_is_compared_with_what_it_was_when_100_000_had_arrived():
    seen = [
        Memory(10, {"rest#1": 90, "web#2": 10}),
        Memory(100_000, {"rest#1": 100, "web#2": 10}),
        Memory(200_000, {"rest#1": 105, "web#2": 12, "late#3": 50}),
        Memory(300_000, {"rest#1": 101, "web#2": 11}),
    ]
    assert memory.growth(seen) == {"rest#1": 1.05, "web#2": 1.2}
    assert growing.ratios_of(grown(memory=seen))["growth_memory"] == 1.2
    assert growing.resident(seen).keys() == {"rest#1", "web#2"}


def test_a_run_that_ended_before_says_nothing_of_memory():
    assert "growth_memory" not in growing.ratios_of(grown(memory=[Memory(99, {"rest#1": 1})]))


def test_every_goal_bounds_a_ratio_that_is_measured():
    seen = [Memory(100_000, {"rest#1": 100})]
    measured = {
        *fanout_bench.ratios_of(beside(**dict.fromkeys(others.PROGRAMS, OTHER))),
        *growing.ratios_of(grown(memory=seen)),
    }
    assert result.read_goals(fanout_bench.NAME).keys() == measured


def test_the_line_is_printed_and_what_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    found = ({"rounds": 1}, {"cpu": 1.0}, ["fanout, round 1: 99 of 100 arrived"])
    monkeypatch.setattr(fanout_bench, "_rounds", lambda _: found)
    assert fanout_bench.main([]) == result.NOT_DELIVERED
    captured = capsys.readouterr()
    line = json.loads(captured.out.splitlines()[-1])
    assert line["figures"]["latency_ms"] == 50.0 and line["ratios"] == {"cpu": 1.0}
    assert "99 of 100" in captured.err


@pytest.mark.parametrize("hour", range(24))
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_nobodys_quiet_hours_are_near(zone: str, hour: int):
    from bench.population import AHEAD, QUIET, quiet_hours_of
    from delivery.policy.quiet_hours import hours_at

    now = datetime(2026, 6, 1, hour, 40, tzinfo=UTC)
    hours = hours_at(zone, quiet_hours_of(zone, now) or QUIET, int(now.timestamp()) // 60)
    assert hours is not None and hours.opens is None
    assert hours.closes - now.timestamp() >= (AHEAD - 1) * 3600
