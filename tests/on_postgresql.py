"""Runs tests that are written for SQLite once more, on a PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = (
    "import sys, notifyhub, django; django.setup()\n"
    "from django.db import connection; assert connection.vendor == 'postgresql'\n"
    "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
)


def run(url: str, files: Sequence[Path], *options: str) -> None:
    """Run test files against the database of a URL; what fails there fails here, with its output."""
    command = [sys.executable, "-c", PROGRAM, "--nomigrations", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [*command, *map(str, files)],
        env={**os.environ, "DATABASE_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
