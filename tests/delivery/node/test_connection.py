"""One device's connection: order, repeats, acknowledgement, and live entries that come during a replay."""

import asyncio
import json
import time
import uuid
from typing import Any

from delivery import positions
from delivery.node import connection as connections
from delivery.node.connection import Connection, Piece


def piece(number: int, *, stamp: float = 0.0) -> Piece:
    identity = uuid.UUID(int=number)
    place = positions.position(stamp or 1_700_000_000 + number, identity.bytes)
    return identity.bytes, place, json.dumps({"n": number}).encode()


class Device:
    """A device at the other end: keeps the frames it was sent."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.codes: list[int] = []
        self.connection = Connection(
            device=b"d" * 16,
            subscriber=uuid.uuid4(),
            application="a",
            platform="web",
            issued_at=0.0,
            send=self.take,
            close=self.closed,
            catch_up=lambda: None,
        )

    async def take(self, text: str) -> None:
        self.frames.append(json.loads(text))

    async def closed(self, code: int) -> None:
        self.codes.append(code)

    @property
    def numbers(self) -> list[int]:
        return [entry["n"] for frame in self.frames for entry in frame["entries"]]


def test_live_entries_wait_for_the_replay_and_come_once() -> None:
    async def play() -> Device:
        device = Device()
        await device.connection.deliver([piece(3), piece(2)])
        assert device.frames == []
        await device.connection.write([piece(1), piece(2)])
        assert await device.connection.go_live()
        await device.connection.deliver([piece(4)])
        await device.connection.deliver([piece(4)])
        return device

    device = asyncio.run(play())
    assert device.numbers == [1, 2, 3, 4]
    assert [frame["seq"] for frame in device.frames] == [1, 2, 3]


def test_too_many_live_entries_during_a_replay_are_read_from_the_log_again() -> None:
    async def play() -> Device:
        device = Device()
        for number in range(connections.HELD_LIMIT + 1):
            await device.connection.deliver([piece(number)])
        assert not await device.connection.go_live()
        assert device.frames == []
        assert await device.connection.go_live()
        return device

    assert asyncio.run(play()).numbers == []


def test_an_acknowledgement_covers_every_frame_up_to_it_once() -> None:
    async def play() -> None:
        connection = Device().connection
        await connection.write([piece(1), piece(2)])
        await connection.write([piece(3)])
        await connection.write([piece(4)])
        ids, reached = connection.acknowledge(2)
        assert ids == [piece(n)[0] for n in (1, 2, 3)]
        assert reached == piece(3)[1]
        assert not connection.settled
        assert connection.acknowledge(2) == ([], None)
        assert connection.acknowledge(99)[0] == [piece(4)[0]]
        assert connection.settled

    asyncio.run(play())


def test_a_frames_cursor_stays_out_of_the_window_in_which_entries_may_still_appear() -> None:
    async def play() -> Device:
        device = Device()
        await device.connection.write([piece(1, stamp=time.time())])
        return device

    [frame] = asyncio.run(play()).frames
    age = time.time() - positions.stamp_of(positions.decode(frame["cursor"]))
    assert age >= positions.COMMIT_WINDOW


def test_what_is_remembered_of_a_connection_is_bounded() -> None:
    async def play() -> Connection:
        connection = Device().connection
        for number in range(connections.REMEMBERED + 500):
            await connection.write([piece(number)])
            connection.acknowledge(connection.seq)
        return connection

    connection = asyncio.run(play())
    assert len(connection._written) == connections.REMEMBERED
