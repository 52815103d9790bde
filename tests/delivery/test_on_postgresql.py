"""What is said about delivery on SQLite holds on PostgreSQL too: its statements are written by hand."""

from pathlib import Path
from typing import Any

import pytest

from tests import on_postgresql

HERE = Path(__file__).parent
SAME = [
    "log/test_relational.py",
    "test_alerts.py",
    "test_bell.py",
    "test_counting.py",
    "test_deadletters.py",
    "test_holds.py",
    "test_pace.py",
    "test_pipeline.py",
    "test_report_pages.py",
    "test_run_page.py",
    "test_silence.py",
    "test_unread.py",
]


@pytest.mark.server
def test_delivery_is_the_same_on_postgresql(postgres_server: Any) -> None:
    on_postgresql.run(postgres_server.url, [HERE / name for name in SAME])
