"""What is said about people, segments and keys on SQLite holds on PostgreSQL too."""

from pathlib import Path
from typing import Any

import pytest

from tests import on_postgresql

HERE = Path(__file__).parent
SAME = [
    "test_best_hours.py",
    "test_counting.py",
    "test_facts.py",
    "test_importing.py",
    "test_keys.py",
    "test_nesting.py",
    "test_people.py",
    "test_registration.py",
    "test_retirement.py",
    "test_segments.py",
    "test_spread.py",
]


@pytest.mark.server
def test_people_segments_and_keys_are_the_same_on_postgresql(postgres_server: Any) -> None:
    on_postgresql.run(postgres_server.url, [HERE / name for name in SAME])
