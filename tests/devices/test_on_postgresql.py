"""What is said about people and segments on SQLite holds on PostgreSQL too."""

from pathlib import Path
from typing import Any

import pytest

from tests import on_postgresql

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
    on_postgresql.run(postgres_server.url, [HERE / name for name in SAME], "--noconftest")
