"""Fixtures of delivery: a provider that answers as told, presence without Redis, and work done in the test's thread."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from delivery import presence, pushing, redis_client
from delivery.draining import plan_one, send_one
from delivery.lanes import LANES
from delivery.senders.contract import Credential
from tests.campaigns.conftest import lasting as lasting
from tests.delivery import world
from tests.delivery.redis_fixture import real_redis
from tests.servers.redis import Redis

__all__ = ["nobody_online", "provider", "real_redis", "redis", "work_all"]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> world.FakeSender:
    """A fake provider behind both FCM and APNs, with credentials in place."""
    sender = world.FakeSender()
    monkeypatch.setattr(pushing, "sender_for", lambda name: sender)
    monkeypatch.setattr(
        pushing, "credential_for", lambda app, name: Credential(uid="c", application=app, secret={})
    )
    return sender


@pytest.fixture
def nobody_online(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device holds a WebSocket."""
    monkeypatch.setattr(presence, "where", lambda devices: [[] for _ in devices])
    monkeypatch.setattr(presence, "recall", lambda application, run: None)


@pytest.fixture
def work_all() -> Callable[[], int]:
    """Do all due work of every lane, as workers would; return how many pieces were worked."""

    def work() -> int:
        done = 0
        while True:
            some = sum(bool(plan_one(lane)) for lane in LANES)
            some += sum(
                bool(send_one(name, lane)) for lane in LANES for name in ("fcm", "apns", "webpush", "socket")
            )
            if not some:
                return done
            done += some

    return work


@pytest.fixture
def redis(redis_server: Redis, settings: Any) -> Iterator[Any]:
    """A client of a real, empty Redis, which is also the hub's for the test."""
    settings.REDIS_URL = redis_server.url
    redis_client._client.cache_clear()
    client = redis_client.client()
    client.flushall()
    yield client
    client.close()
    redis_client._client.cache_clear()
