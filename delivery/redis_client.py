"""This process's connections to Redis, synchronous; the nodes have asynchronous ones of their own."""

import os
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT = 5.0


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
