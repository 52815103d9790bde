"""A session's replay: how large its frames are, and what it waits for between them."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from delivery import positions
from delivery.node import frames, lookups, session
from delivery.node.connection import Piece
from delivery.node.table import Node
from devices.tokens import Identity

ENTRY = 30_000


def piece(number: int) -> Piece:
    identity = uuid.UUID(int=number).bytes
    place = positions.position(1_700_000_000 + number, identity)
    return identity, place, json.dumps({"n": number, "body": "x" * ENTRY}).encode()


class Line:
    """A device at the other end, and its node: keeps the frames it was sent."""

    name = "here"

    def __init__(self, *, listens: bool = True) -> None:
        self.frames: list[dict[str, Any]] = []
        self.written = asyncio.Event()
        self.waiting = 0
        self.closed: list[int] = []
        identity = Identity(1, uuid.uuid4(), 1, uuid.uuid4(), "ada", 1, uuid.uuid4(), "web", 0.0, 0.0, 1)
        self.session = session.Session(
            identity, self, node=cast(Node, self), close=self.closed.append, listens=listens
        )

    async def add(self, connection: Any) -> None:
        """Be a node without presence."""

    def remove(self, connection: Any) -> None: ...

    def write(self, payload: bytes) -> None:
        self.frames.append(json.loads(payload))
        self.written.set()

    def listen(self, take: Any) -> None: ...

    def close(self, code: int) -> None: ...

    def abort(self) -> None: ...

    @property
    def numbers(self) -> list[list[int]]:
        return [[entry["n"] for entry in frame["entries"]] for frame in self.frames if "entries" in frame]

    async def holds(self, count: int) -> None:
        """Wait until so many frames of entries are here."""
        while len(self.numbers) < count:
            self.written.clear()
            await self.written.wait()


@pytest.fixture
def course(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Run a coroutine with a log of two pages of three large entries each."""
    log = [piece(number) for number in range(6)]

    async def replay(asked: tuple[uuid.UUID, str, bytes]) -> lookups.Replay:
        behind = [one for one in log if one[1] > asked[2]]
        page = behind[:3]
        return lookups.Replay(page, page[-1][1] if page else asked[2], len(behind) > 3)

    async def cursor(device: uuid.UUID) -> bytes:
        return positions.START

    monkeypatch.setattr(lookups, "replay", replay)
    monkeypatch.setattr(lookups, "durable_cursor", cursor)
    monkeypatch.setattr(session.acknowledgements, "add", lambda **given: None)

    def run(steps: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(10):
                await steps()

        asyncio.run(bounded())

    return run


def test_a_large_page_goes_in_frames_that_are_each_acknowledged(course: Any) -> None:
    async def steps() -> None:
        line = Line()
        await line.session.begin(None)
        for seq, expected in enumerate([[0, 1], [2], [3, 4], [5]], 1):
            await line.holds(seq)
            assert line.numbers[-1] == expected
            await asyncio.sleep(0)
            assert len(line.numbers) == seq  # nothing before it is acknowledged
            line.session.acknowledge(seq, [])
        assert line.frames[0]["type"] == "hello"

    course(steps)


def test_a_device_that_acknowledges_nothing_is_waited_for_once(
    course: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "ACK_SECONDS", 0.05)

    async def steps() -> None:
        line = Line()
        await line.session.begin(None)
        await line.holds(2)
        monkeypatch.setattr(session, "ACK_SECONDS", 60.0)
        await line.holds(4)

    course(steps)


def test_a_line_that_cannot_acknowledge_gets_more_when_it_has_taken_what_it_was_given(
    course: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_EVERY", 0.0)

    async def steps() -> None:
        line = Line(listens=False)
        line.waiting = 1
        await line.session.begin(None)
        await line.holds(1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(line.numbers) == 1
        line.waiting = 0
        await line.holds(4)

    course(steps)


def test_a_device_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not(
    course: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(session, "ACK_SECONDS", 0.0)
    monkeypatch.setattr(session, "STALLED_SECONDS", 0.1)

    async def steps() -> None:
        line = Line()
        line.waiting = 400
        await line.session.begin(None)
        await line.holds(1)
        while line.waiting > 300:
            await asyncio.sleep(0.02)
            line.waiting -= 10
        assert not line.closed
        while not line.closed:
            await asyncio.sleep(0.01)
        assert line.closed == [frames.TRY_AGAIN_LATER] and line.frames[-1]["type"] == "resync"
        assert len(line.numbers) == 1

    course(steps)
