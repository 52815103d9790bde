"""The node's signs of life: when Redis has lost its memory, every device's log is read once more."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from delivery import presence
from delivery.node import frames
from delivery.node.connection import Connection
from delivery.node.table import Node
from delivery.node.wire import AsgiWire


class FakeRedis:
    """As much of Redis as a sign of life needs."""

    def __init__(self) -> None:
        self.nodes: dict[str, float] = {}
        self.run_id = "first"
        self.fails = False

        self.missed: str | None = None

    def pipeline(self, transaction: bool) -> "FakePipeline":
        return FakePipeline(self)


class FakePipeline:
    """Answers at its end what the commands before came to, and does nothing when Redis is away by then."""

    def __init__(self, redis: FakeRedis) -> None:
        self.redis = redis
        self.commands: list[Callable[[], Any]] = []

    async def __aenter__(self) -> "FakePipeline":
        return self

    async def __aexit__(self, *error: Any) -> None:
        return None

    def zadd(self, name: str, scores: dict[str, float]) -> None:
        def add() -> int:
            added = len(scores.keys() - self.redis.nodes.keys())
            self.redis.nodes.update(scores)
            return added

        self.commands.append(add)

    def getdel(self, name: str) -> None:
        def take() -> str | None:
            missed, self.redis.missed = self.redis.missed, None
            return missed

        self.commands.append(take)

    def info(self, section: str) -> None:
        self.commands.append(lambda: {"run_id": self.redis.run_id})

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given, **named: self.commands.append(lambda: None)

    async def execute(self) -> list[Any]:
        if self.redis.fails:
            raise ConnectionError("Redis is away")
        return [command() for command in self.commands]


class Registrar:
    def __init__(self) -> None:
        self.renewed: list[list[bytes]] = []

    async def renew(self, devices: list[bytes]) -> None:
        self.renewed.append(devices)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> tuple[Node, FakeRedis, list[str]]:
    """A node with one device, its Redis, and what the device was told to read again."""
    node, redis, read_again = Node(), FakeRedis(), list[str]()
    monkeypatch.setattr(node, "redis", redis)
    monkeypatch.setattr(node, "_registrar", Registrar())
    node.lines.by_device[b"d" * 16] = [
        _connection(lambda: read_again.append("device"), AsgiWire(cast(Any, None)))
    ]
    return node, redis, read_again


def _connection(catch_up: Any, wire: Any) -> Connection:
    return Connection(
        device=b"d" * 16,
        subscriber=uuid.uuid4(),
        application="a",
        platform="web",
        wire=wire,
        close=lambda code: None,
        catch_up=catch_up,
    )


def beats(node: Node, *between: Any) -> None:
    """Let the node give a sign of life, and another after each of the things that happen between."""

    async def course() -> None:
        await node._beat()
        for happens in between:
            happens()
            with suppress(ConnectionError):  # the node's supervisor begins again
                await node._beat()
        await asyncio.sleep(0)

    asyncio.run(course())


def test_a_first_sign_of_life_reads_nothing_again(hub: tuple[Node, FakeRedis, list[str]]) -> None:
    node, _, read_again = hub
    beats(node, lambda: None)
    assert read_again == []


def test_a_flushed_redis_is_noticed_though_it_runs_on(hub: tuple[Node, FakeRedis, list[str]]) -> None:
    node, redis, read_again = hub
    beats(node, redis.nodes.clear, lambda: None)
    assert read_again == ["device"]


def test_a_device_is_told_that_recalls_may_have_passed_it_by(hub: tuple[Node, FakeRedis, list[str]]) -> None:
    node, redis, read_again = hub
    written: list[bytes] = []

    class Wire:
        waiting = 0

        def __init__(self, *, breaks: bool = False) -> None:
            self.breaks = breaks

        def write(self, payload: bytes) -> None:
            if self.breaks:
                raise RuntimeError("a server's own fault")
            written.append(payload)

    broken = _connection(lambda: None, Wire(breaks=True))  # keeps nothing from those behind it
    node.lines.by_device = {
        b"c" * 16: [broken],
        b"e" * 16: [_connection(lambda: read_again.append("device"), Wire())],
    }
    beats(node, lambda: None)
    assert written == []
    beats(node, redis.nodes.clear, lambda: None)
    assert written == [frames.MISSED]
    assert read_again == ["device"]


def test_a_restarted_redis_is_noticed_though_it_remembers(hub: tuple[Node, FakeRedis, list[str]]) -> None:
    node, redis, read_again = hub

    def restart() -> None:
        redis.run_id = "second"

    beats(node, restart, lambda: None)
    assert read_again == ["device"]


def test_what_was_noticed_is_made_good_after_an_error(hub: tuple[Node, FakeRedis, list[str]]) -> None:
    node, redis, read_again = hub

    def flush_and_fail() -> None:
        redis.nodes.clear()
        redis.fails = True

    def come_back() -> None:
        redis.fails = False

    beats(node, flush_and_fail, come_back)
    assert read_again == ["device"]


def test_a_node_whose_stream_was_full_reads_again(hub: tuple[Node, FakeRedis, list[str]]) -> None:
    node, redis, read_again = hub

    def overflow() -> None:
        redis.missed = "1"

    beats(node, overflow, lambda: None)
    assert read_again == ["device"]


def test_a_node_that_gave_no_sign_for_long_reads_again(hub: tuple[Node, FakeRedis, list[str]]) -> None:
    node, _, read_again = hub

    def sleep() -> None:
        assert node._signed_at is not None
        node._signed_at -= presence.NODE_SECONDS + 1

    beats(node, sleep)
    assert read_again == ["device"]
