import json
from pathlib import Path

import msgspec
import pytest

from bench import command, hub, result
from bench import main as main_bench
from bench.baseline import BaselineError, Sent
from bench.report import Report, Turn

SENT = Sent(sent=80, refused={}, seconds=0.5, cpu_seconds=0.008, version="go")
TURN = Turn(
    devices=100,
    expected=100,
    delivered=100,
    outcomes={"sent": 100},
    repeats=0,
    seconds=2.0,
    first_phone=0.3,
    all_seconds=2.5,
    cpu={"rest": 0.015, "web": 0.005},
    server_cpu={"redis": 0.001},
    fleet_cpu=0.01,
    elsewhere=0.0,
    baseline_delivered=80,
    baseline=SENT,
    faults=[],
)


def report(*turns: Turn) -> Report:
    by_provider = {"fcm": 45, "apns": 35, "socket": 20}
    return Report(size="embedded", by_provider=by_provider, online=20, connect_seconds=1.0, turns=list(turns))


def test_ratios_compare_ours_for_a_device_with_the_baselines_for_a_message():
    assert main_bench.ratios_of(report(TURN)) == {"cpu_embedded": 2.0, "rate_embedded": 0.3125}


def test_the_middle_of_the_rounds_is_what_counts():
    slow = msgspec.structs.replace(TURN, seconds=20.0, cpu={"rest": 2.0})
    figures = command.figures_of([TURN, slow, TURN])
    assert figures["devices_per_second"] == 50.0
    assert figures["cpu_ms_per_1000"] == 200.0


def test_our_processes_and_the_servers_are_two_figures():
    figures = command.figures_of([TURN])
    assert figures["cpu_ms_per_1000_by_part"] == {"rest": 150.0, "web": 50.0}
    assert figures["server_cpu_ms_per_1000"] == 10.0


def test_nothing_is_said_when_everything_arrived():
    assert command.undelivered([TURN], "here") == command.unsent([TURN], 80, "here") == []


def test_what_did_not_arrive_is_named_for_both_sides():
    short = msgspec.structs.replace(TURN, delivered=99, baseline_delivered=79, faults=["sums do not balance"])
    ours, fault = command.undelivered([TURN, short], "here")
    (theirs,) = command.unsent([TURN, short], 80, "here")
    assert "here, round 2: 99 of 100" in ours
    assert "79 of 80" in theirs
    assert "sums do not balance" in fault


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Turn]:
    """The rounds that every size is to have measured; no hub is started."""
    turns = [TURN]

    def run(size: str, *_: object) -> Report:
        return msgspec.structs.replace(report(*turns), size=size)

    monkeypatch.setattr("bench.baseline.build", lambda: Path("/bin/true"))
    monkeypatch.setattr(main_bench, "_run", run)
    return turns


def test_it_ends_well_when_everything_arrived_though_goals_were_missed(
    measured: list[Turn], capsys: pytest.CaptureFixture[str]
):
    measured[0] = msgspec.structs.replace(TURN, cpu={"rest": 9.0})
    assert main_bench.main([]) == result.DELIVERED
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["bench"] == "main" and line["met"] is False
    assert line["goals"].keys() == line["ratios"].keys()
    assert {"embedded", "production"} <= line["figures"].keys()
    assert line["figures"]["baseline"]["concurrency"] == 500


def test_it_ends_with_2_and_still_prints_its_line_when_a_message_is_missing(
    measured: list[Turn], capsys: pytest.CaptureFixture[str]
):
    measured[0] = msgspec.structs.replace(TURN, delivered=99)
    assert main_bench.main(["--size", "embedded"]) == result.NOT_DELIVERED
    captured = capsys.readouterr()
    assert json.loads(captured.out)["figures"]["embedded"]["delivered"] == [99]
    assert "99 of 100 arrived" in captured.err


def test_it_ends_with_1_and_says_why_when_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def missing() -> Path:
        raise BaselineError("there is no `go` on PATH")

    monkeypatch.setattr("bench.baseline.build", missing)
    assert main_bench.main([]) == result.UNUSABLE
    assert "no `go` on PATH" in capsys.readouterr().err


def test_a_hub_of_a_benchmark_knows_nothing_of_the_shells_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/real")
    monkeypatch.setattr(hub, "prepare", lambda _: None)
    with hub.place("embedded", tmp_path / "embedded", tell=print) as place:
        assert "DATABASE_URL" not in place.environment
        assert Path(place.environment["NOTIFYHUB_DATA_DIR"]).parent == tmp_path / "embedded"
