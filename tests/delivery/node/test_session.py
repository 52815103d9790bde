"""A device's replay: page by page, the next when the device has stored the one before, or after a while."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import pytest

from delivery import positions
from delivery.node import lookups
from delivery.node import session as sessions
from delivery.node.connection import Connection, Piece
from delivery.node.lookups import REPLAY_ENTRIES, Replay
from delivery.node.session import ACK_SECONDS, Session
from devices.tokens import Identity

from .test_connection import Device, piece

ENTRIES = 2 * REPLAY_ENTRIES + 50
"""In the log: two full pages, and one that is not."""
FIRST, SECOND, ALL = REPLAY_ENTRIES, 2 * REPLAY_ENTRIES, ENTRIES


class Here:
    """As much of a node as one session needs."""

    name = "here"

    async def add(self, connection: Connection) -> None:
        return None

    def remove(self, connection: Connection) -> None:
        return None


class Noted:
    """Keeps which ids were acknowledged."""

    def __init__(self) -> None:
        self.ids: list[bytes] = []

    def add(self, *, subscriber: UUID, device: UUID, ids: list[bytes], mark: bytes | None) -> None:
        self.ids += ids


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[Piece]:
    """What the log of the device's subscriber holds."""
    held = [piece(number) for number in range(1, ENTRIES + 1)]

    async def replay(asked: tuple[UUID, str, bytes]) -> Replay:
        left = [one for one in held if one[1] > asked[2]]
        page = left[:REPLAY_ENTRIES]
        return Replay(page, page[-1][1], len(left) > len(page))

    monkeypatch.setattr(lookups, "replay", replay)
    return held


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    """What the session notes of acknowledgements."""
    kept = Noted()
    monkeypatch.setattr(sessions, "acknowledgements", kept)
    return kept


async def settled() -> None:
    """Let the loop run until nothing goes on by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


def passes(seconds: float) -> None:
    """Put the loop's clock forward."""
    loop = asyncio.get_running_loop()
    now = loop.time() + seconds
    loop.time = lambda: now  # type: ignore[method-assign]


def replaying(course: Callable[[Session, Device], Awaitable[None]], *, listens: bool = True) -> None:
    """Run `course` with a device that has come with the oldest cursor."""
    identity = Identity(
        application_id=1,
        application_uid=uuid.uuid4(),
        subscriber_id=1,
        subscriber_uid=uuid.uuid4(),
        external_id="s",
        device_id=1,
        device_uid=uuid.uuid4(),
        platform="web",
        issued_at=0.0,
        expires_at=0.0,
        key_id=1,
    )

    async def run() -> None:
        device = Device()
        session = Session(identity, device, node=cast(Any, Here()), close=device.close, listens=listens)
        await session.begin(positions.encode(positions.START))
        await settled()
        try:
            await course(session, device)
        finally:
            session.end()
        assert device.numbers == sorted(set(device.numbers))
        assert device.codes == []

    asyncio.run(run())


def test_the_next_page_waits_for_the_acknowledgement_of_the_one_before(
    pieces: list[Piece], noted: Noted
) -> None:
    async def course(session: Session, device: Device) -> None:
        assert len(device.numbers) == FIRST
        session.acknowledge(1, [])
        await settled()
        assert len(device.numbers) == SECOND
        session.acknowledge(2, [])
        await settled()
        assert len(device.numbers) == ALL
        assert not session.connection.replaying

    replaying(course)
    assert noted.ids == [one[0] for one in pieces[:SECOND]]


def test_an_acknowledgement_that_does_not_cover_the_page_brings_no_other(
    pieces: list[Piece], noted: Noted
) -> None:
    async def course(session: Session, device: Device) -> None:
        session.acknowledge(0, [])
        session.acknowledge(None, [str(UUID(bytes=pieces[0][0]))])
        await settled()
        assert len(device.numbers) == FIRST

    replaying(course)


def test_a_device_that_does_not_acknowledge_gets_the_next_page_after_a_while(pieces: list[Piece]) -> None:
    async def course(session: Session, device: Device) -> None:
        passes(ACK_SECONDS - 1)
        await settled()
        assert len(device.numbers) == FIRST
        passes(1)
        await settled()
        assert len(device.numbers) == SECOND
        passes(ACK_SECONDS)
        await settled()
        assert len(device.numbers) == ALL
        assert not session.connection.replaying

    replaying(course)


def test_a_line_that_cannot_acknowledge_is_not_waited_for(pieces: list[Piece]) -> None:
    async def course(session: Session, device: Device) -> None:
        assert len(device.numbers) == ALL

    replaying(course, listens=False)


def test_a_live_entry_that_comes_while_a_page_is_awaited_follows_the_log(
    pieces: list[Piece], noted: Noted
) -> None:
    async def course(session: Session, device: Device) -> None:
        session.connection.deliver([piece(ENTRIES + 1)])
        assert len(device.numbers) == FIRST
        for seq in (1, 2):
            session.acknowledge(seq, [])
            await settled()
        assert device.numbers == list(range(1, ENTRIES + 2))

    replaying(course)


def test_an_id_that_is_none_is_told_and_the_others_of_its_receipt_count(
    pieces: list[Piece], noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[tuple[list[UUID], str]] = []

    async def record(subscriber: UUID, device: UUID, ids: list[UUID], kind: str) -> None:
        recorded.append((ids, kind))

    monkeypatch.setattr(lookups, "record", record)
    good = uuid.uuid4()

    async def course(session: Session, device: Device) -> None:
        await session.receipt([str(good), "zzz"], "opened")
        [told] = [frame["problem"] for frame in device.frames if frame["type"] == "error"]
        assert "“zzz” is no id of an entry" in told["detail"]

    replaying(course)
    assert recorded == [([good], "opened")]
