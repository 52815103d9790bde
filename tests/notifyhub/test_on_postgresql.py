"""What is said on SQLite about the pages and commands that read all rooms holds on PostgreSQL too."""

from pathlib import Path
from typing import Any

import pytest

from tests import on_postgresql

HERE = Path(__file__).parent
SAME = ["test_dashboard.py", "test_rotate_keys.py"]


@pytest.mark.server
def test_the_dashboard_and_the_change_of_keys_are_the_same_on_postgresql(postgres_server: Any) -> None:
    on_postgresql.run(postgres_server.url, [HERE / name for name in SAME])
