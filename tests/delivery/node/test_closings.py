"""Whose lines a node ends for which note, told by instants instead of waiting for them."""

import asyncio
import uuid
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

import pytest

from delivery.node import closings as closing_notes
from delivery.node import frames
from delivery.node.closings import LOOK_BACK, Closings, Note
from delivery.node.lines import Lines
from devices.tokens import Identity


class Line:
    """Keeps the codes it was ended with."""

    def __init__(self, lines: Lines, *, issued_at: float = 0.0, shown_at: float = 0.0) -> None:
        self.identity: Identity | None = Identity(
            1, uuid.uuid4(), 1, uuid.uuid4(), "ada", 1, uuid.uuid4(), "web", issued_at, 0.0, 7
        )
        self.shown_at = shown_at
        self.codes: list[int] = []
        lines.open[self] = None

    def end(self, code: int) -> None:
        self.codes.append(code)

    def move(self, within: float) -> None: ...

    def look(self, now: float) -> float | None: ...


@pytest.fixture
def lines() -> Lines:
    return Lines()


def note(key: int = 1, **about: Any) -> Note:
    return Note(
        key, about.get("device"), about.get("subscriber"), about.get("before"), about.get("signing_key")
    )


def obey(closings: Closings, notes: list[Note], now: float) -> None:
    closings.learn(notes, now)
    asyncio.run(closings.obey())


def test_a_devices_note_is_about_it_alone(lines: Lines) -> None:
    one, other = Line(lines), Line(lines)
    assert one.identity is not None
    obey(Closings(lines), [note(device=one.identity.device_uid)], 1.0)
    assert (one.codes, other.codes) == ([frames.TOKEN_REFUSED], [])


@pytest.mark.parametrize(("issued_at", "ended"), [(99.0, True), (100.0, False), (101.0, False)])
def test_younger_tokens_of_a_subscriber_stay(lines: Lines, issued_at: float, ended: bool) -> None:
    line = Line(lines, issued_at=issued_at)
    assert line.identity is not None
    before = datetime.fromtimestamp(100.0, UTC)
    obey(Closings(lines), [note(subscriber=line.identity.subscriber_uid, before=before)], 1.0)
    assert bool(line.codes) is ended


def test_without_an_instant_every_line_of_the_subscriber_ends(lines: Lines) -> None:
    line = Line(lines, issued_at=10_000.0)
    assert line.identity is not None
    obey(Closings(lines), [note(subscriber=line.identity.subscriber_uid)], 1.0)
    assert line.codes


def test_a_token_that_was_being_looked_up_is_caught_once_it_is_believed(lines: Lines) -> None:
    line = Line(lines, shown_at=0.5)
    who, line.identity = line.identity, None
    assert who is not None
    closings, notes = Closings(lines), [note(device=who.device_uid)]
    obey(closings, notes, 1.0)
    assert not line.codes
    line.identity = who  # its token was read before the note was committed, and the answer came late
    obey(closings, notes, 3.0)
    assert line.codes


def test_a_token_that_is_shown_after_the_note_was_seen_was_read_after_it(lines: Lines) -> None:
    line = Line(lines, shown_at=1.1)
    assert line.identity is not None
    closings, notes = Closings(lines), [note(device=line.identity.device_uid)]
    obey(closings, notes, 1.0)
    obey(closings, notes, 2.0)
    assert not line.codes


def test_notes_are_read_again_for_a_while_and_then_no_more(lines: Lines) -> None:
    closings = Closings(lines)
    obey(closings, [note(7)], 1.0)
    obey(closings, [note(7), note(6)], 2.0)  # the lower key was committed later
    obey(closings, [note(7), note(6)], 1.5 + LOOK_BACK)
    assert (closings._floor, list(closings._seen), len(closings._about)) == (7, [6], 1)
    obey(closings, [], 2.5 + LOOK_BACK)
    assert (closings._floor, closings._seen, closings._about) == (7, {}, {})


def test_everything_else_has_its_turn_while_very_many_lines_are_closed(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing_notes, "AT_ONCE", 2)
    held = [Line(lines) for _ in range(5)]
    closings = Closings(lines)
    closings.learn([note(signing_key=7)], 1.0)
    closed_by_then: list[int] = []

    async def course() -> None:
        obeying = asyncio.create_task(closings.obey())
        while not obeying.done():
            await asyncio.sleep(0)
            closed_by_then.append(sum(len(line.codes) for line in held))

    asyncio.run(course())
    assert closed_by_then[:3] == [2, 4, 5]


def test_everything_else_has_its_turn_while_very_many_notes_are_taken_up(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def newest(instant: datetime) -> int:
        return 0

    async def read(floor: int, known: Container[int]) -> list[Note]:
        return [note(key, device=uuid.uuid4()) for key in range(1, 6)]

    monkeypatch.setattr(closing_notes, "AT_ONCE", 2)
    monkeypatch.setattr(closing_notes, "_newest_before", newest)
    monkeypatch.setattr(closing_notes, "_read", read)
    closings = Closings(lines)
    taken_by_then: list[int] = []

    async def course() -> None:
        running = asyncio.create_task(closings.run())
        for _ in range(3):
            await asyncio.sleep(0)
            taken_by_then.append(len(closings._seen))
        running.cancel()

    asyncio.run(course())
    assert taken_by_then == [2, 4, 5]


def test_a_signing_keys_note_ends_the_lines_of_its_tokens_however_late_they_were_shown(lines: Lines) -> None:
    line, late = Line(lines), Line(lines, shown_at=1.5)
    closings = Closings(lines)
    obey(closings, [note(signing_key=8)], 1.0)
    assert not line.codes
    obey(closings, [note(2, signing_key=7)], 1.0)
    assert (line.codes, late.codes) == ([frames.TOKEN_REFUSED], [frames.TOKEN_REFUSED])
