import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import meter

BUSY = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass"


def test_a_name_with_spaces_and_parentheses_does_not_shift_the_fields():
    stat = "42 (a (b) c) S 7 42 42 0 -1 4194304 1 2 3 4 100 50 30 20 20 0 1 0 5 6 7"
    assert meter.parse(stat, ticks=100) == meter.Process(pid=42, parent=7, seconds=2.0)


def test_all_that_is_busy_counts_and_idling_does_not(tmp_path: Path):
    (tmp_path / "stat").write_text("cpu  100 20 30 9999 888 5 15 30 0 0\ncpu0 1 2 3\n")
    assert meter.busy(tmp_path) == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))


def test_a_tree_holds_all_descendants_and_nobody_else():
    rows = [
        meter.Process(pid, parent, 1.0) for pid, parent in ((1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5))
    ]
    assert {row.pid for row in meter.tree(rows, [2, 6])} == {2, 3, 4, 6}


def test_a_root_below_another_root_counts_once():
    rows = [meter.Process(2, 1, 1.0), meter.Process(3, 2, 1.0)]
    assert sorted(row.pid for row in meter.tree(rows, [2, 3])) == [2, 3]


def test_a_root_that_is_gone_is_no_error():
    assert meter.tree([meter.Process(2, 1, 1.0)], [99]) == []


def test_children_that_have_ended_still_count():
    mine = meter.Meter([os.getpid()], name=lambda _: "all")
    before = mine.read()
    subprocess.run([sys.executable, "-S", "-c", BUSY], check=True)
    assert meter.between(before, mine.read())["all"] >= 0.25


def test_processes_are_told_apart_by_the_role_in_their_environment():
    command = [sys.executable, "-S", "-c", "print('ready', flush=True); input()"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "NOTIFYHUB_ROLE": "rest"},
    ) as child:
        # a process that has only just begun its program has no environment to be read yet
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert meter.role(child.pid) == "rest"
        child.communicate(b"\n")


def test_only_what_was_used_between_two_readings_is_left():
    assert meter.between({"a": 1.0, "b": 2.0}, {"a": 1.5, "b": 2.0, "c": 0.25}) == {"a": 0.5, "c": 0.25}
