"""`manage.py fleet` is the fleet: the same arguments, one process, and nothing of the hub in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from fleet.arguments import PORTS, add_arguments, arguments, make_parser
from fleet.client import Fleet

ROOT = Path(__file__).resolve().parents[2]


def test_it_becomes_the_fleet_and_ends_by_a_signal(tmp_path):
    scenario = tmp_path / "scenario.toml"
    scenario.write_text("[[fcm]]\nproject = 'shop'\ndevices = 1\n")
    command = [sys.executable, "manage.py", "fleet", f"--data={tmp_path / 'data'}", f"--scenario={scenario}"]
    environment = {**os.environ, "NOTIFYHUB_DATA_DIR": str(tmp_path / "hub")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        fleet = Fleet.attach(tmp_path / "data")
        assert fleet.arrived()["total"]["accepted"] == 0
        words = Path(f"/proc/{process.pid}/maps").read_text()
        assert "django" not in words and "psycopg" not in words
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0


def test_its_help_names_every_door_and_where_to_read_on():
    command = [sys.executable, "manage.py", "fleet", "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in PORTS:
        assert f"--{name}-port" in text
    assert "docs/how-to/test-your-senders.md" in text and (ROOT / "docs/how-to/test-your-senders.md").exists()
    assert "--verbosity" not in text


def test_the_options_make_the_same_command_line_again(tmp_path):
    parser = make_parser("fleet")
    add_arguments(parser, data=None)
    words = [f"--data={tmp_path}", "--scenario=s.toml", "--latency-ms=5.0", "--apns-sandbox-port=7"]
    assert arguments(vars(parser.parse_args(words))) == words
