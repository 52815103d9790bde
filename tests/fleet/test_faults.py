"""What goes wrong on purpose: the waits have the percentiles that were asked for, faults come when they are due."""

import random

import msgspec
import pytest

from fleet.faults import Faults, Latency, Leaving, Spoilt, StreamReset
from fleet.http import Broken, Goaway, Reply, Request, Reset
from fleet.trouble import Trouble

SEND = Request("POST", "/", "", {}, b"")


class Desk:
    """A provider that takes everything and counts."""

    def __init__(self) -> None:
        self.taken = 0

    def answer(self, request: Request) -> Reply:
        self.taken += 1
        return Reply(200, b'{"name": "0123456789"}', [])

    def refuse(self, reason: str, *, retry_after: int | None = None) -> Reply:
        return Reply(int(reason), b"", [])

    def outage(self, status: int) -> str:
        return str(status)

    def quota(self) -> str:
        return "429"


def sends(faults: Faults, count: int = 5) -> tuple[Desk, list[Reply], list[bool]]:
    """Return the desk, the answers, and at which sends all connections were cut."""
    desk, cuts = Desk(), []
    trouble = Trouble(faults, lambda: cuts.append(desk.taken))
    replies = [trouble.befall(desk, SEND) for _ in range(count)]
    return desk, replies, [number + 1 in cuts for number in range(count)]


def test_waits_have_the_percentiles_that_were_asked_for():
    random.seed(7)
    _, replies, _ = sends(Faults(latency=Latency(p50=40.0, p99=400.0), latency_ms=5.0), 20_000)
    waits = sorted(reply.wait * 1000 - 5.0 for reply in replies)
    assert waits[10_000] == pytest.approx(40.0, rel=0.05)
    assert waits[19_800] == pytest.approx(400.0, rel=0.15)
    assert sends(Faults(latency_ms=5.0))[1][0].wait == 0.005


@pytest.mark.parametrize("bad", [b'{"p50": 0, "p99": 1}', b'{"p50": 9, "p99": 1}', b'{"p50": 1}'])
def test_a_latency_that_cannot_be_is_refused(bad):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(bad, type=Latency)


def test_without_faults_every_send_is_answered_at_once():
    desk, replies, cuts = sends(Faults())
    assert desk.taken == 5 and not any(cuts)
    assert all(reply.wait == 0.0 and reply.mishap is None for reply in replies)


def test_a_cut_comes_once_at_the_send_that_was_chosen():
    _, replies, cuts = sends(Faults(cut_after=3))
    assert cuts == [False, False, True, False, False]
    assert replies[2].wait is None, "the send that cuts is owed its answer"


def test_lost_answers_are_owed_for_ever_and_their_messages_arrive():
    desk, replies, _ = sends(Faults(lost_answers=2, latency_ms=5.0))
    assert [reply.wait for reply in replies] == [None, None, 0.005, 0.005, 0.005]
    assert desk.taken == 5


def test_a_refused_stream_was_not_looked_at():
    desk, replies, _ = sends(Faults(reset_streams=StreamReset(code="REFUSED_STREAM", count=2)))
    assert [reply.mishap for reply in replies] == [Reset("REFUSED_STREAM")] * 2 + [None] * 3
    assert desk.taken == 3


def test_a_stream_that_ends_otherwise_has_brought_its_message():
    desk, replies, _ = sends(Faults(reset_streams=StreamReset(code="INTERNAL_ERROR")))
    assert replies[0].mishap == Reset("INTERNAL_ERROR")
    assert desk.taken == 5


def test_goaway_comes_as_often_as_asked():
    leaving = Leaving(after=2, count=2, every=3, reason="Shutdown")
    _, replies, _ = sends(Faults(goaway=leaving), 9)
    assert [number for number, reply in enumerate(replies, 1) if reply.mishap] == [2, 5]
    assert replies[1].mishap == Goaway("Shutdown", abrupt=False)


@pytest.mark.parametrize(
    ("how", "check"),
    [
        ("truncated", lambda reply: reply.body == b'{"name": "0'),
        ("html", lambda reply: reply.status == 503 and reply.body.startswith(b"<html>")),
        ("huge", lambda reply: len(reply.body) > 2 << 20 and msgspec.json.decode(reply.body)),
        ("empty", lambda reply: reply.status == 200 and not reply.body),
        ("wrong_types", lambda reply: msgspec.json.decode(reply.body)["error"] == 17),
        ("broken_off", lambda reply: reply.mishap == Broken(11) and len(reply.body) == 22),
    ],
)
def test_an_answer_is_spoilt_as_asked_and_its_message_arrives(how, check):
    desk, replies, _ = sends(Faults(spoil=Spoilt(how=how, status=503, megabytes=2)), 2)
    assert check(replies[0])
    assert replies[1].status == 200 and desk.taken == 2
