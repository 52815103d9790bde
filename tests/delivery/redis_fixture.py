"""A real Redis behind the product's own client, emptied before each test."""

from collections.abc import Iterator

import pytest
import redis

from delivery import redis_client
from tests.servers.redis import Redis


@pytest.fixture
def real_redis(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch, settings: object
) -> Iterator[redis.Redis]:
    """The client that delivery uses in this test."""
    settings.REDIS_URL = redis_server.url  # type: ignore[attr-defined]
    with redis.Redis.from_url(redis_server.url, socket_timeout=5.0) as client:
        client.flushall()
        monkeypatch.setattr(redis_client, "client", lambda: client)
        monkeypatch.setattr(redis_client, "_away_until", 0.0)
        yield client
    monkeypatch.setattr(redis_client, "_away_until", 0.0)
