"""Presence in a real Redis: who holds which device, asked for a whole page at once."""

import time
import uuid

import pytest
import redis

from delivery import presence

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("real_redis")]


@pytest.fixture(autouse=True)
def _same_client(real_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "client", lambda: real_redis)


def hold(client: redis.Redis, device: bytes, node: str) -> None:
    client.register_script(presence.PRESENT)(keys=[presence.key(device)], args=[node, 90, 1_700_000_000])


def alive(client: redis.Redis, node: str, *, since: float = 0.0) -> None:
    client.zadd(presence.NODES, {node: time.time() - since})


def test_each_device_is_found_with_all_who_hold_it(real_redis: redis.Redis) -> None:
    devices = [uuid.uuid4().bytes for _ in range(499)] + [bytes(16)]
    for node in ("one", "two"):
        alive(real_redis, node)
    hold(real_redis, devices[3], "one")
    hold(real_redis, devices[3], "two")
    hold(real_redis, devices[499], "one")
    found = presence.where(devices)
    assert len(found) == 500
    assert {at: nodes for at, nodes in enumerate(found) if nodes} == {3: ["one", "two"], 499: ["one"]}
    real_redis.register_script(presence.ABSENT)(keys=[presence.key(devices[3])], args=["one"])
    assert presence.where([devices[3]]) == [["two"]]
    assert presence.where([]) == []
    assert presence.online([devices[499]]) == [[presence.Held("one", 1_700_000_000.0)]]


def test_a_lease_that_is_renewed_keeps_its_since(real_redis: redis.Redis) -> None:
    device = uuid.uuid4().bytes
    alive(real_redis, "one")
    present = real_redis.register_script(presence.PRESENT)
    assert [present(keys=[presence.key(device)], args=["one", 90, since]) for since in (5, 6)] == [1, 0]
    assert presence.online([device]) == [[presence.Held("one", 5.0)]]


def test_a_node_is_no_other_whose_name_begins_alike(real_redis: redis.Redis) -> None:
    device = uuid.uuid4().bytes
    for node in ("one", "one-more"):
        alive(real_redis, node)
        hold(real_redis, device, node)
    absent = real_redis.register_script(presence.ABSENT)
    absent(keys=[presence.key(device)], args=["one"])
    assert presence.where([device]) == [["one-more"]]
    absent(keys=[presence.key(device)], args=["one-more"])
    assert not real_redis.exists(presence.key(device))


def test_a_full_stream_takes_nothing_more_and_the_node_is_told(
    real_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "STREAM_ENTRIES", {True: 3, False: 2})
    delivery = presence.Delivery(1, 1, "reply", [])
    full = [presence.hand_over({"one": delivery, "two": delivery}, "bulk") for _ in range(2)]
    full.append(presence.hand_over({"one": delivery}, "bulk"))
    assert full == [set(), set(), {"one"}]
    assert real_redis.xlen(presence.stream("one", urgent=False)) == 2
    assert real_redis.exists(presence.missed("one"))
    assert not real_redis.exists(presence.missed("two"))
    assert presence.hand_over({"one": delivery}, "critical") == set()


def test_orders_for_several_nodes_are_one_round_trip(real_redis: redis.Redis) -> None:
    delivery = presence.Delivery(1, 1, "reply", [])
    presence.hand_over({"one": delivery}, "critical")  # Redis learns the script

    def trips() -> int:
        return int(real_redis.info("stats")["total_reads_processed"])  # type: ignore[index]

    before = trips()
    presence.hand_over({"one": delivery, "two": delivery}, "critical")
    assert trips() - before == 2, "and one to ask for the figure"


def test_a_node_without_a_sign_of_life_holds_nobody(real_redis: redis.Redis) -> None:
    device = uuid.uuid4().bytes
    hold(real_redis, device, "slept")
    alive(real_redis, "slept", since=presence.NODE_SECONDS + 1)
    assert presence.where([device]) == [[]]
    alive(real_redis, "slept")
    assert presence.where([device]) == [["slept"]]


def test_a_page_is_one_call_whatever_its_size(real_redis: redis.Redis) -> None:
    def commands() -> int:
        return int(real_redis.info("stats")["total_commands_processed"])

    counts = []
    presence.where([uuid.uuid4().bytes])  # the script is known from then on
    for size in (1, 500):
        before = commands()
        presence.where([uuid.uuid4().bytes for _ in range(size)])
        counts.append(commands() - before)
    # the call, what it reads in one MGET and one range, and the question itself
    assert counts[0] == counts[1] <= 4, counts
