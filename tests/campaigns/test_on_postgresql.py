"""What is said about the intake and the engine on SQLite, whose statements are other ones, holds on PostgreSQL too."""

from pathlib import Path
from typing import Any

import pytest

from tests import on_postgresql

HERE = Path(__file__).parent


@pytest.mark.server
def test_intake_and_engine_are_the_same_on_postgresql(postgres_server: Any) -> None:
    on_postgresql.run(
        postgres_server.url, [HERE / "test_intake.py", HERE / "test_engine.py", HERE / "test_delayed.py"]
    )
