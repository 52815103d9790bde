"""The fleet's own benchmark: what it counts, and what it is held to."""

import pytest

from bench import fleet, meter, result
from bench.senders import Client


class Counted:
    """A fleet with a process id."""

    pid = 1


def test_every_provider_has_a_goal() -> None:
    goals = result.read_goals("fleet")
    assert set(goals) == {f"per_core_second_{name}" for name in fleet.PROVIDERS}
    assert {goal.at_least for goal in goals.values()} == {20_000.0}


def test_a_pass_is_counted_by_the_fleets_own_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([{"fleet": 1.0}, {"fleet": 1.5}])
    monkeypatch.setattr(meter.Meter, "read", lambda self: next(readings))
    monkeypatch.setattr(fleet, "one_pass", lambda fleet, client: {"sent": 10_000, "seconds": 0.8})
    client = Client("go", "fcm", 10_000, None)  # type: ignore[arg-type]
    done = fleet._measured(Counted(), client)  # type: ignore[arg-type]
    assert done == {"cpu_ms_per_1000": 50.0, "per_core_second": 20_000.0, "per_second": 12_500.0}


def test_it_is_one_of_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fleet.main(["--help"])
    assert ended.value.code == 0 and "--passes" in capsys.readouterr().out
