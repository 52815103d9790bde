"""What a node does with the orders on its two streams, in a real Redis."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis

from delivery import positions, presence
from delivery.node import receiver, table
from delivery.node.connection import Connection
from delivery.node.counts import counts
from delivery.node.horizon import horizon
from delivery.node.table import Node

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("real_redis")]
WITHIN = 20.0


class Device:
    """A device that this node holds; it is its own wire."""

    def __init__(self, node: Node, *, breaks: bool = False) -> None:
        self.uid = uuid.uuid4()
        self.frames: list[dict[str, Any]] = []
        self.codes: list[int] = []
        self.waiting = 0
        self.breaks = breaks
        self.then: Callable[[], object] = lambda: None
        """What happens whenever something was written."""
        self.connection = Connection(
            device=self.uid.bytes,
            subscriber=uuid.uuid4(),
            application="a",
            platform="web",
            wire=self,
            close=self.close,
            catch_up=lambda: None,
        )
        self.connection.replaying = False
        node.lines.by_device[self.uid.bytes] = [self.connection]

    def write(self, payload: bytes) -> None:
        if self.breaks:
            raise RuntimeError("a server's own fault")
        self.frames.append(json.loads(payload))
        self.then()

    def close(self, code: int) -> None:
        self.codes.append(code)

    def listen(self, take: Any) -> None: ...

    @property
    def titles(self) -> list[str]:
        return [entry["title"] for frame in self.frames for entry in frame.get("entries", ())]


@pytest.fixture
def node(real_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(presence, "client", lambda: real_redis)
    monkeypatch.setattr(horizon, "_in_order", {})
    return Node()


def run(node: Node, course: Callable[[], Awaitable[None]]) -> None:
    """Have the node read both its streams until a course is over."""

    async def scene() -> None:
        works = {
            asyncio.create_task(node._supervised(name, partial(node._receiver.run, urgent=name == "urgent")))
            for name in ("urgent", "rest")
        }
        try:
            async with asyncio.timeout(WITHIN):
                await course()
        finally:
            while works:  # redis-py swallows one cancellation now and then
                for work in works:
                    work.cancel()
                _, works = await asyncio.wait(works, timeout=0.1)
            await node.redis.aclose()

    # a thread of its own: the browser of other tests has a loop in this one
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, scene()).result()


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


def pair(device: uuid.UUID, title: str) -> presence.Pair:
    notification = uuid.uuid4().bytes
    entry = json.dumps({"title": title}).encode()
    return presence.Pair(device.bytes, notification, positions.position(1_700_000_000.0, notification), entry)


def hand_over(node: Node, lane: str, *pairs: presence.Pair, parcel: int = 1) -> None:
    assert presence.hand_over({node.name: presence.Delivery(parcel, 7, "reply", list(pairs))}, lane) == set()


def left(client: redis.Redis, node: Node) -> int:
    return sum(int(client.xlen(presence.stream(node.name, urgent=urgent))) for urgent in (True, False))


async def answer(count: int = 1) -> list[presence.Answer]:
    return await asyncio.to_thread(presence.answers, "reply", count, seconds=WITHIN)


def test_an_order_is_written_then_answered_and_trimmed(node: Node, real_redis: redis.Redis) -> None:
    device = Device(node)

    async def course() -> None:
        for lane in ("critical", "bulk"):
            hand_over(node, lane, pair(device.uid, lane))
        assert await answer(2) == [presence.Answer(1, 7, node.name, [])] * 2
        await until(lambda: left(real_redis, node) == 0)

    run(node, course)
    assert sorted(device.titles) == ["bulk", "critical"]


def test_a_device_that_is_not_here_is_said_to_be_gone_and_only_this_node_is_taken_out_of_its_presence(
    node: Node, real_redis: redis.Redis
) -> None:
    here, elsewhere, nowhere = Device(node).uid, uuid.uuid4(), uuid.uuid4()
    present = real_redis.register_script(presence.PRESENT)
    real_redis.zadd(presence.NODES, {node.name: 4e9, "other": 4e9})
    for name, device in (
        (node.name, here),
        (node.name, elsewhere),
        ("other", elsewhere),
        (node.name, nowhere),
    ):
        present(keys=[presence.key(device.bytes)], args=[name, 90, 1])

    async def course() -> None:
        hand_over(node, "high", *(pair(device, "told") for device in (elsewhere, here, nowhere)))
        assert await answer() == [presence.Answer(1, 7, node.name, [0, 2])]
        await until(lambda: not real_redis.exists(presence.key(nowhere.bytes)))

    run(node, course)
    assert presence.where([one.bytes for one in (here, elsewhere, nowhere)]) == [[node.name], ["other"], []]


def test_an_urgent_order_passes_between_the_pairs_of_the_rest(node: Node, real_redis: redis.Redis) -> None:
    device, urgent = Device(node), Device(node)
    before: list[int] = []

    def first() -> None:
        if len(device.frames) == 1:  # an urgent order comes while the rest is being written
            hand_over(node, "critical", pair(urgent.uid, "critical"))
            for _ in range(20):  # and is there
                real_redis.ping()

    device.then = first
    urgent.then = lambda: before.append(len(device.frames))
    hand_over(node, "bulk", *(pair(device.uid, "bulk") for _ in range(500)))

    async def course() -> None:
        await until(lambda: len(device.frames) == 500 and bool(before))

    run(node, course)
    assert before[0] < 500


def test_a_recall_to_very_many_gives_way(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "PAIRS_AT_ONCE", 10)
    devices = [Device(node) for _ in range(100)]
    turns: list[int] = []

    async def others() -> None:
        while not devices[-1].frames:
            turns.append(sum(len(device.frames) for device in devices))
            await asyncio.sleep(0)

    async def course() -> None:
        beside = asyncio.create_task(others())
        await node._receiver._obey(presence.Recall("a", str(uuid.uuid4())))
        await beside

    run(node, course)
    assert {len(device.frames) for device in devices} == {1}
    assert len([count for count in turns if 0 < count < 100]) >= 9


def test_an_order_of_a_later_release_holds_nothing_up_and_the_logs_are_read_for_it(
    node: Node, real_redis: redis.Redis
) -> None:
    device = Device(node)
    before = counts["restarted"]

    async def course() -> None:
        for order in (b"\x91\xa5later", b"nonsense"):
            real_redis.xadd(presence.stream(node.name, urgent=True), {"d": order})
        hand_over(node, "high", pair(device.uid, "told"))
        await answer()
        await until(lambda: left(real_redis, node) == 0)

    run(node, course)
    assert device.titles == ["told"]
    assert real_redis.exists(presence.missed(node.name))
    assert counts["restarted"] == before


@pytest.mark.parametrize("kind", ["delivery", "recall", "marked"])
def test_a_connection_that_fails_ends_and_keeps_nothing_from_the_others(node: Node, kind: str) -> None:
    broken, sound = Device(node, breaks=True), Device(node)
    before = counts["restarted"]

    async def course() -> None:
        if kind == "delivery":
            hand_over(node, "high", pair(broken.uid, "told"), pair(sound.uid, "told"))
        else:
            order = (
                presence.Recall("a", "run")
                if kind == "recall"
                else presence.Marked([broken.uid.bytes, sound.uid.bytes], ["x"], "read")
            )
            presence._tell(order, [node.name])
        await until(lambda: bool(sound.frames))

    run(node, course)
    assert (broken.codes, sound.codes) == ([4500], [])
    assert counts["restarted"] == before


def test_a_receiver_whose_connection_is_killed_starts_again_and_that_is_counted(
    node: Node, real_redis: redis.Redis
) -> None:
    device = Device(node)
    before = counts["restarted"]

    def readers() -> list[Any]:
        return [one for one in real_redis.client_list() if one["cmd"] == "xread"]

    async def course() -> None:
        await until(lambda: len(readers()) == 2)
        for one in readers():
            real_redis.client_kill_filter(_id=one["id"])
        hand_over(node, "high", pair(device.uid, "urgent"))
        hand_over(node, "bulk", pair(device.uid, "rest"))
        await until(lambda: len(device.titles) == 2)

    run(node, course)
    assert counts["restarted"] > before
    assert node._figures()["restarted"] == counts["restarted"]


def test_a_read_ends_before_its_connection_is_taken_for_dead() -> None:
    assert receiver.BLOCK_MS / 1_000 < table.SOCKET_TIMEOUT / 2
