"""Runs tests that are written for SQLite once more, on a PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = """
import sys, notifyhub, django, pytest
from django.conf import settings
from django.db import connections

# tests that ask for the log's database get the only one
settings.DATABASES["log"] = {**settings.DATABASES["default"], "TEST": {"MIRROR": "default"}}
django.setup()
assert connections["default"].vendor == "postgresql"

class Closing:
    def pytest_runtest_teardown(self):
        connections["log"].close()  # a database that somebody is connected to cannot be dropped

sys.exit(pytest.main(sys.argv[1:], plugins=[Closing()]))
"""
AS_ON_SQLITE = {"NOTIFYHUB_SHARDS": "1", "NOTIFYHUB_SECOND_FACTOR": "optional"}
"""What settings say otherwise with PostgreSQL, and tests go by."""


def run(url: str, files: Sequence[Path], *options: str) -> None:
    """Run test files, but for tests with servers, against the database of a URL; what fails there fails here."""
    command = [sys.executable, "-c", PROGRAM, "--nomigrations", "-q", "-p", "no:cacheprovider", *options]
    command += ["-m", "not server"]
    done = subprocess.run(
        [*command, *map(str, files)],
        env={**os.environ, **AS_ON_SQLITE, "DATABASE_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
