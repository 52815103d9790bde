"""What is said about the campaigns' room on SQLite, whose statements are other ones, holds on PostgreSQL too."""

from pathlib import Path
from typing import Any

import pytest

from tests import on_postgresql

HERE = Path(__file__).parent
SAME = [
    "claims_on_postgresql.py",
    "test_clock.py",
    "test_delayed.py",
    "test_engine.py",
    "test_experiments.py",
    "test_intake.py",
    "test_triggering.py",
    "test_why.py",
]


@pytest.mark.server
def test_events_launches_and_why_are_the_same_on_postgresql(postgres_server: Any) -> None:
    on_postgresql.run(postgres_server.url, [HERE / name for name in SAME])
