"""Presence in a real Redis: who holds which device, asked for a whole page at once."""

import uuid

import pytest
import redis

from delivery import presence

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("real_redis")]


@pytest.fixture(autouse=True)
def _same_client(real_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "client", lambda: real_redis)


def hold(client: redis.Redis, device: bytes, node: str) -> None:
    client.register_script(presence.PRESENT)(keys=[presence.key(device)], args=[node, 90])


def test_each_device_is_found_with_all_who_hold_it(real_redis: redis.Redis) -> None:
    devices = [uuid.uuid4().bytes for _ in range(499)] + [bytes(16)]
    hold(real_redis, devices[3], "one")
    hold(real_redis, devices[3], "two")
    hold(real_redis, devices[499], "one")
    found = presence.where(devices)
    assert len(found) == 500
    assert {at: nodes for at, nodes in enumerate(found) if nodes} == {3: ["one", "two"], 499: ["one"]}
    presence.leave("one", [devices[3], devices[499]])
    assert {at: nodes for at, nodes in enumerate(presence.where(devices)) if nodes} == {3: ["two"]}
    assert presence.where([]) == []


def test_a_page_is_one_command(real_redis: redis.Redis) -> None:
    presence.where([uuid.uuid4().bytes])
    before = int(real_redis.info("commandstats")["cmdstat_evalsha"]["calls"])
    presence.where([uuid.uuid4().bytes for _ in range(500)])
    assert int(real_redis.info("commandstats")["cmdstat_evalsha"]["calls"]) == before + 1
