"""What is said on SQLite about the pages and commands that read all rooms holds on PostgreSQL too."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import on_postgresql

HERE = Path(__file__).parent
SAME = ["test_dashboard.py", "test_rotate_keys.py"]


@pytest.mark.server
def test_the_dashboard_and_the_change_of_keys_are_the_same_on_postgresql(postgres_server: Any) -> None:
    on_postgresql.run(postgres_server.url, [HERE / name for name in SAME])


@pytest.mark.server
@pytest.mark.parametrize(("said", "compiles"), [("", "off"), ("?options=-c%20jit=on", "on")])
def test_statements_are_compiled_only_where_the_address_says_so(
    postgres_server: Any, said: str, compiles: str
) -> None:
    program = (
        "import django; django.setup()\n"
        "from django.db import connection as c\n"
        "with c.cursor() as cursor: print(cursor.execute('SHOW jit').fetchone()[0])"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "notifyhub.settings",
        "DATABASE_URL": f"{postgres_server.url}{said}",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=on_postgresql.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == compiles, done.stderr[-2000:]
