"""A command ends with a sentence where what is wrong is outside: a setting, a file, a server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.db import OperationalError, ProgrammingError

from delivery.redis_client import client
from notifyhub.commandline import sentence_of

ROOT = Path(__file__).resolve().parent.parent.parent


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `manage.py` on a folder of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *command],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("NOTIFYHUB_")},
            "NOTIFYHUB_DATA_DIR": str(folder),
            "NOTIFYHUB_REDIS_URL": "redis://127.0.0.1:1/0",
            "NOTIFYHUB_KEY_RING": Fernet.generate_key().decode(),
            "SECRET_KEY": "x",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("command", "environment", "said"),
    [
        (("check",), {"DATABASE_URL": "nonsense"}, "DATABASE_URL must be as postgres://"),
        (
            ("check",),
            {"DATABASE_URL": "postgres://a:sesame@host:http/x"},
            "DATABASE_URL must be as postgres://",
        ),
        (("serve",), {"NOTIFYHUB_PORT": "http"}, "NOTIFYHUB_PORT must be a whole number, not 'http'"),
        (
            ("doctor", "ledger"),
            {"DATABASE_URL": "postgres://a:sesame@127.0.0.1:1/x"},
            "The database does not answer",
        ),
        (("doctor", "ledger"), {"DATABASE_URL": ""}, "DATABASE_URL must be as"),
        (("stop", "--application", "shop"), {}, "run `manage.py prepare`"),
        (("drain",), {}, "Redis does not answer"),
        (("prepare",), {"NOTIFYHUB_DATA_DIR": "/proc/nowhere", "SECRET_KEY": ""}, "/proc/nowhere"),
    ],
)
def test_a_command_says_what_is_wrong_and_shows_no_traceback(tmp_path, command, environment, said):
    ended = run(tmp_path, *command, **environment)
    assert ended.returncode == 1
    assert said in ended.stderr and "Traceback" not in ended.stderr
    assert "sesame" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_hub_does_not_start_on_tables_of_another_version(tmp_path):
    ended = run(tmp_path, "serve", "--only", "clock")
    assert ended.returncode == 1
    assert "run `manage.py prepare`" in ended.stderr and "Traceback" not in ended.stderr


def test_who_wants_the_traceback_gets_it(tmp_path):
    assert "Traceback" in run(tmp_path, "drain", "--traceback").stderr


def test_a_fault_of_ours_is_no_sentence():
    assert sentence_of(KeyError("page")) == ""
    assert sentence_of(OperationalError("server closed the connection")).startswith("The database")


def test_a_database_that_is_not_there_is_no_table_that_is_missing():
    away = sentence_of(OperationalError('connection failed: FATAL:  database "hub" does not exist'))
    assert "DATABASE_URL" in away and "prepare" not in away
    older = sentence_of(ProgrammingError('relation "delivery_run" does not exist'))
    assert "prepare" in older


def test_redis_is_named_with_the_setting_that_says_where_it_is():
    with pytest.raises(Exception, match="refused") as caught:
        client().ping()
    assert "NOTIFYHUB_REDIS_URL" in sentence_of(caught.value)
