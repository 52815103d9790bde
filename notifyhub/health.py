"""Health: whether this process lives, and whether what it needs answers."""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache

import redis
import structlog
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from delivery.log.store import log_store

log = structlog.get_logger(__name__)

TIMEOUT = 2.0
"""Seconds that each part has to answer; they are asked at the same time."""


def check_database() -> None:
    """Raise an error unless the relational database answers."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1")


def check_log_store() -> None:
    """Raise an error unless the log can be reached and its tables are as they should be."""
    log_store().check()


def check_redis() -> None:
    """Raise an error unless Redis answers."""
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
    ) as client:
        client.ping()


CHECKS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "log": check_log_store,
    "redis": check_redis,
}


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    # More threads than checks: one that hangs past its time must not keep the next request waiting.
    return ThreadPoolExecutor(max_workers=4 * len(CHECKS), thread_name_prefix="health")


def _timed(check: Callable[[], None]) -> float:
    began = time.perf_counter()
    try:
        check()
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()
    return time.perf_counter() - began


def examine(*, timeout: float | None = None) -> dict[str, dict[str, object]]:
    """Ask every part at once; return {part: {"ok", "ms"} or {"ok": False, "error"}} within `timeout` seconds, else 2.

    An error is told by its kind only: its text may hold an address or a password, so it goes to the log.
    """
    timeout = TIMEOUT if timeout is None else timeout
    asked: dict[str, Future[float]] = {
        name: _pool(os.getpid()).submit(_timed, check) for name, check in CHECKS.items()
    }
    wait(asked.values(), timeout=timeout)
    found: dict[str, dict[str, object]] = {}
    for name, future in asked.items():
        if not future.done():
            future.cancel()
            found[name] = {"ok": False, "error": f"no answer within {timeout:g} s"}
        elif error := future.exception():
            found[name] = {"ok": False, "error": type(error).__name__}
            log.warning("health.failed", part=name, error=str(error))
        else:
            found[name] = {"ok": True, "ms": round(future.result() * 1000, 1)}
    return found


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process can answer at all."""
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database, the log and Redis answer, else 503 with the ones that do not."""
    parts = examine()
    fine = all(part["ok"] for part in parts.values())
    status = {"status": "ready" if fine else "not ready", "parts": parts}
    return JsonResponse(status, status=200 if fine else 503)
