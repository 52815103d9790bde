"""This process's connections to Redis, synchronous; the nodes have asynchronous ones of their own."""

import os
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT = 5.0
AWAY_SECONDS = 1.0
"""For how long nobody asks again what can be answered without Redis, once it did not answer."""

log = structlog.get_logger(__name__)
T = TypeVar("T")
_away_until = 0.0


@cache
def _client(pid: int) -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=2.0,
        health_check_interval=30,
        # once at once, for a connection that died idle; redis-py's own patience would hold a worker for half a minute
        retry=Retry(NoBackoff(), 1),
    )


def client() -> redis.Redis:
    """Return the client of this process, made after fork; its pool serves all threads."""
    return _client(os.getpid())


def ask(question: Callable[[redis.Redis], T], otherwise: T) -> T:
    """Return what Redis answers, or `otherwise` when it does not; then it is left alone for a moment."""
    global _away_until
    if time.monotonic() < _away_until:
        return otherwise
    try:
        return question(client())
    except redis.RedisError as error:
        _away_until = time.monotonic() + AWAY_SECONDS
        log.warning("redis.away", error=str(error))
        return otherwise
