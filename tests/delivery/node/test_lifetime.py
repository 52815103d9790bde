"""What ends a socket by its deadlines, told by instants instead of waiting for them."""

import asyncio
import json
import time
import uuid
from typing import Any

import pytest

from delivery.node import alarms, consumer, frames, table
from delivery.node.connection import WAITING_LIMIT
from delivery.node.consumer import DeviceConsumer
from devices.tokens import Identity


class Wire:
    """Keeps what is written."""

    waiting = 0

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.codes: list[int] = []

    def write(self, payload: bytes) -> None:
        self.frames.append(json.loads(payload))

    def close(self, code: int) -> None:
        self.codes.append(code)


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch) -> DeviceConsumer:
    """A socket that has shown its token now, and is good for half an hour."""
    node = table.Node()
    monkeypatch.setattr(consumer, "node", lambda: node)
    made = DeviceConsumer()
    made.wire = Wire()
    made.identity = Identity(1, uuid.uuid4(), 1, uuid.uuid4(), "ada", 1, uuid.uuid4(), "web", 0.0, 0.0, 1)
    made.heard = time.monotonic()
    made.until = made.heard + 1_800
    made.expires = made.heard + 3_600
    return made


def said(socket: DeviceConsumer) -> tuple[list[dict[str, Any]], list[int]]:
    return socket.wire.frames, socket.wire.codes  # type: ignore[attr-defined]


def test_a_silent_device_is_dead_within_a_minute(socket: DeviceConsumer) -> None:
    assert socket.look(socket.heard + 54) == socket.heard + consumer.SILENT_SECONDS
    assert said(socket) == ([], [])
    assert consumer.SILENT_SECONDS < 60 - alarms.TICK
    assert socket.look(socket.heard + 55.1) is None
    assert said(socket) == ([], [frames.SILENT])


def test_a_socket_lives_no_longer_than_its_token(socket: DeviceConsumer) -> None:
    socket.expires = socket.heard + 10
    assert socket.look(socket.heard) == socket.expires
    assert socket.look(socket.heard + 10) is None
    assert said(socket)[1] == [frames.TOKEN_REFUSED]


def test_its_lifetime_is_drawn_between_25_and_35_minutes(
    socket: DeviceConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = socket.identity
    socket.scope = {}

    async def identify(shown: tuple[str, str]) -> Identity | None:
        return who

    monkeypatch.setattr(consumer.lookups, "identify", identify)
    drawn = []
    for _ in range(100):
        asyncio.run(socket._authenticate("a token"))
        drawn.append(socket.until - time.monotonic())
    assert 25 * 60 - 1 < min(drawn) < 29 * 60 and 31 * 60 < max(drawn) < 35 * 60


def test_at_the_end_of_its_lifetime_it_is_asked_to_move_and_forced_later(socket: DeviceConsumer) -> None:
    socket.until = socket.heard
    again = socket.look(socket.heard)
    [frame], codes = said(socket)
    assert frame["type"] == "reconnect" and 0 <= frame["after_ms"] <= 30_000 and codes == []
    assert again is not None
    socket.heard = socket.until  # it speaks on, and does not move
    assert socket.until - time.monotonic() > consumer.GRACE_SECONDS - 1
    assert socket.look(socket.until) is None
    assert said(socket)[1] == [frames.MOVE]


def test_a_socket_without_a_token_is_closed_at_its_deadline(socket: DeviceConsumer) -> None:
    socket.identity = None
    socket.authenticating = True
    assert socket.look(socket.heard + 5) is not None, "its token is being looked at"
    socket.authenticating = False
    socket.look(socket.heard + 5)
    assert said(socket)[1] == [frames.TOKEN_REFUSED]


def test_what_a_device_says_is_a_bucket_that_fills_again(socket: DeviceConsumer) -> None:
    for _ in range(consumer.SAID_AT_ONCE - 1):
        assert socket._counted()
    socket.heard -= 10  # ten seconds in which it said nothing
    for _ in range(int(10 * consumer.SAID_PER_SECOND)):
        assert socket._counted()
    assert said(socket)[1] == []
    assert [socket._counted() for _ in range(5)][-1] is False
    assert said(socket)[1] == [frames.TOO_MANY]


def test_what_a_device_is_answered_is_bounded_though_it_reads_nothing(socket: DeviceConsumer) -> None:
    socket.wire.waiting = WAITING_LIMIT + 1  # type: ignore[misc]
    assert socket._taken(b'{"type":"ping"}')
    for frame in ("{", '{"type":"receipt","ids":[],"kind":"read"}'):
        asyncio.run(socket._heard(frame))
    assert said(socket) == ([], []), "what waits for it is a sign of life too"
    socket.wire.waiting = 0  # type: ignore[misc]
    assert socket._taken(b'{"type":"ping"}')
    asyncio.run(socket._heard("{"))
    assert [frame["type"] for frame in said(socket)[0]] == ["pong", "error"]


class Line:
    """A line that wants to be looked at again when it says so."""

    def __init__(self, again: float | None = None) -> None:
        self.again = again
        self.looks: list[float] = []

    def look(self, now: float) -> float | None:
        self.looks.append(now)
        return self.again

    def move(self, within: float) -> None:
        raise AssertionError


def test_every_line_is_looked_at_when_its_time_has_come() -> None:
    made = alarms.Alarms()
    early, late, gone, again = Line(), Line(), Line(), Line(again=30.0)
    for at, line in ((10.0, early), (20.0, late), (10.0, gone), (10.0, again)):
        made.set(at, line)
    made.set(15.0, early)  # it has a later deadline now
    made.forget(gone)
    for now in (9.0, 10.0, 15.0, 20.0, 30.0):
        made.ring(now)
    assert [early.looks, late.looks, gone.looks] == [[15.0], [20.0], []]
    assert again.looks == [10.0, 30.0]


def test_nothing_is_kept_of_a_line_that_is_gone() -> None:
    made = alarms.Alarms()
    line = Line()
    for _ in range(3):
        made.set(10.0, line)
    made.forget(line)
    assert not made._of
    assert {alarm.line for alarm in made._heap} == {None}
