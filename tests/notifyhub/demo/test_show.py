"""The demo as `./run --once` shows it, twice on the same data."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _processes_on(folder: Path) -> list[str]:
    """Return the command lines of processes that were started with this data folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"NOTIFYHUB_DATA_DIR={folder}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode().replace("\0", " "))
        except OSError:
            # It ended meanwhile.
            continue
    return found


@pytest.mark.server
def test_both_balances_hold_the_fleet_agrees_and_a_second_start_goes_on(tmp_path):
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("NOTIFYHUB_", "SECRET_KEY"))
    }
    environment = {
        **kept,
        "NOTIFYHUB_DATA_DIR": str(tmp_path),
        "NOTIFYHUB_PORT": _free_port(),
        "NOTIFYHUB_REDIS_PORT": _free_port(),
    }
    command = [sys.executable, str(ROOT / "manage.py"), "demo", "--once", "--subscribers", "60"]
    for start in ("first", "second"):
        shown = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=180)
        assert shown.returncode == 0, shown.stderr
        assert ("password: " in shown.stderr) == (start == "first")
        report = json.loads(shown.stdout.splitlines()[-1])
        assert report["audience"] == 60
        assert report["audience"] == sum(report["stopped"].values()) + report["logged"]
        assert report["messages"] == sum(report["outcomes"].values())
        # Nobody has the viewer's page open, and one person has no device.
        assert report["outcomes"]["stored"] == report["outcomes"]["no_device"] == 1
        assert report["stopped"] == {"no_consent": 1}
        assert 0 < report["event_to_socket_ms"] < 30_000
        assert _processes_on(tmp_path) == []
    doctor = [sys.executable, str(ROOT / "manage.py"), "doctor", "ledger"]
    assert (
        subprocess.run(doctor, env=environment, capture_output=True, text=True).stdout
        == "3 runs, all balanced.\n"
    )
