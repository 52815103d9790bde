"""What is said about people and segments on SQLite holds on PostgreSQL too."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SAME = [
    "test_segments.py",
    "test_people.py",
    "test_registration.py",
    "test_facts.py",
    "test_nesting.py",
    "test_counting.py",
]


@pytest.mark.server
def test_segments_pages_and_registration_are_the_same_on_postgresql(postgres_server: Any) -> None:
    code = (
        "import sys, notifyhub, django; django.setup()\n"
        "from django.db import connection; assert connection.vendor == 'postgresql'\n"
        "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "--noconftest", "--nomigrations", "-q", "-p", "no:cacheprovider",
         *(str(HERE / name) for name in SAME)],
        env={**os.environ, "DATABASE_URL": postgres_server.url},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
