"""Whose lines a node ends for which note, told by instants instead of waiting for them."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

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


def test_a_devices_note_is_about_it_alone(lines: Lines) -> None:
    one, other = Line(lines), Line(lines)
    assert one.identity is not None
    Closings(lines).obey([note(device=one.identity.device_uid)], 1.0)
    assert (one.codes, other.codes) == ([frames.TOKEN_REFUSED], [])


@pytest.mark.parametrize(("issued_at", "ended"), [(99.0, True), (100.0, False), (101.0, False)])
def test_younger_tokens_of_a_subscriber_stay(lines: Lines, issued_at: float, ended: bool) -> None:
    line = Line(lines, issued_at=issued_at)
    assert line.identity is not None
    before = datetime.fromtimestamp(100.0, UTC)
    Closings(lines).obey([note(subscriber=line.identity.subscriber_uid, before=before)], 1.0)
    assert bool(line.codes) is ended


def test_without_an_instant_every_line_of_the_subscriber_ends(lines: Lines) -> None:
    line = Line(lines, issued_at=10_000.0)
    assert line.identity is not None
    Closings(lines).obey([note(subscriber=line.identity.subscriber_uid)], 1.0)
    assert line.codes


def test_a_token_that_was_being_looked_up_is_caught_once_it_is_believed(lines: Lines) -> None:
    line = Line(lines, shown_at=0.5)
    who, line.identity = line.identity, None
    assert who is not None
    closings, notes = Closings(lines), [note(device=who.device_uid)]
    closings.obey(notes, 1.0)
    assert not line.codes
    line.identity = who  # its token was read before the note was committed, and the answer came late
    closings.obey(notes, 3.0)
    assert line.codes


def test_a_token_that_is_shown_after_the_note_was_seen_was_read_after_it(lines: Lines) -> None:
    line = Line(lines, shown_at=1.1)
    assert line.identity is not None
    closings, notes = Closings(lines), [note(device=line.identity.device_uid)]
    closings.obey(notes, 1.0)
    closings.obey(notes, 2.0)
    assert not line.codes


def test_notes_are_read_again_for_a_while_and_then_no_more(lines: Lines) -> None:
    closings = Closings(lines)
    closings.obey([note(7)], 1.0)
    closings.obey([note(7), note(6)], 2.0)  # the lower key was committed later
    closings.obey([note(7), note(6)], 1.5 + LOOK_BACK)
    assert closings._floor == 7


def test_a_signing_keys_note_ends_the_lines_of_its_tokens_however_late_they_were_shown(lines: Lines) -> None:
    line, late = Line(lines), Line(lines, shown_at=1.5)
    closings = Closings(lines)
    closings.obey([note(signing_key=8)], 1.0)
    assert not line.codes
    closings.obey([note(signing_key=7)], 1.0)
    assert (line.codes, late.codes) == ([frames.TOKEN_REFUSED], [frames.TOKEN_REFUSED])
