"""Many senders, engines and clocks at once on one database: every event is decided once and told once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.concurrent_program import EVENTS, SENDERS
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.server


def _run(folder: Path, **environment: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.concurrent_program"],
        env={**os.environ, "NOTIFYHUB_DATA_DIR": str(folder), "NOTIFYHUB_LOG_LEVEL": "ERROR", **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
    counts = json.loads(ran.stdout.splitlines()[-1])
    assert counts == {
        "stored": EVENTS,
        "repeated": (SENDERS - 1) * (EVENTS - 1),
        "rejected": SENDERS - 1,  # the one event that each sender gives another body
        "errors": [],
        "decisions": EVENTS,
        "told": EVENTS,
        "told_once": EVENTS,
        "standing": 1,
        "launched": 1,
        "ticks": 1,
    }


def test_nothing_is_lost_or_doubled_on_sqlite(tmp_path: Path) -> None:
    _run(tmp_path)


def test_nothing_is_lost_or_doubled_on_postgresql(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres") as postgres:
        _run(tmp_path, DATABASE_URL=postgres.url)
