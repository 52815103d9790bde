import json
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import main as main_bench
from bench import result
from bench.hub import SIZES

GOAL = result.Goal(at_most=2.0, at_least=None, reason="because")


def test_every_goal_of_the_file_can_be_read_and_bounds_a_ratio_that_is_measured():
    ratios = {f"{kind}_{size}" for kind in ("cpu", "rate") for size in SIZES}
    assert result.read_goals(main_bench.NAME).keys() == ratios


def test_the_line_is_one_line_of_json_with_the_five_parts():
    text = result.line("x", figures={"devices": 1}, ratios={"cpu": 1.23456}, goals={"cpu": GOAL})
    assert "\n" not in text
    assert json.loads(text) == {
        "bench": "x",
        "figures": {"devices": 1},
        "ratios": {"cpu": 1.235},
        "goals": {"cpu": {"at_most": 2.0}},
        "met": True,
    }


def test_a_missed_goal_is_not_met():
    assert not json.loads(result.line("x", figures={}, ratios={"cpu": 2.1}, goals={"cpu": GOAL}))["met"]


def test_a_goal_whose_ratio_was_not_measured_is_left_out():
    goals = {"cpu": GOAL, "other": GOAL}
    found = json.loads(result.line("x", figures={}, ratios={"cpu": 1.0}, goals=goals))
    assert found["met"] and "other" not in found["goals"]


def test_nothing_is_met_where_no_goal_was_measured():
    assert not json.loads(result.line("x", figures={}, ratios={"cpu": 1.0}, goals={}))["met"]


def test_both_bounds_of_a_goal_count():
    goal = result.Goal(at_most=2.0, at_least=1.0, reason="because")
    assert [goal.met_by(ratio) for ratio in (0.9, 1.0, 2.0, 2.1)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("at_most = 1.0", "needs a reason"),
        ('reason = "so"', "at_most or at_least"),
        ('at_most = 1.0\nreason = "so"\nbelow = 2', "below is none of"),
    ],
)
def test_a_goal_that_says_too_little_or_too_much_is_named(tmp_path: Path, text: str, complaint: str):
    file = tmp_path / "goals.toml"
    file.write_text(f"[x.cpu]\n{text}\n")
    with pytest.raises(result.GoalsError, match=r"x\.cpu.*" + complaint):
        result.read_goals("x", file=file)


def test_an_unknown_benchmark_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]):
    assert command.main(["speed"]) == result.UNUSABLE
    assert "main" in capsys.readouterr().err


def test_too_few_devices_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main_bench.main(["--devices", "10"])
    assert "20,000" in capsys.readouterr().err
