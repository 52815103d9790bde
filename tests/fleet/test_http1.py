"""The HTTP/1.1 server reads requests however they come, and answers them in order."""

from __future__ import annotations

import asyncio

import pytest

from fleet.http import Broken, Reply, Request, Reset
from fleet.http1 import Http1

GET = b"GET /a?b=c HTTP/1.1\r\nhost: fleet\r\n\r\n"


class Wire:
    """A connection whose bytes are looked at."""

    peer = first = ""
    most_body = 1000

    def __init__(self, *answers: Reply) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.delayed: list[Reply] = []
        self.sent = b""
        self.closed = False
        self.server = Http1(self)

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def handle(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else Reply(200, b"ok", [])

    def delay(self, stream: int, reply: Reply) -> None:
        self.delayed.append(reply)


@pytest.mark.parametrize("pieces", [1, 7, 1000])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"\r\n", b""),
    ],
    ids=["length", "chunks", "expect", "none"],
)
def test_a_request_arrives_whole(framing, body, pieces):
    wire = Wire()
    raw = b"POST /token?x=1 HTTP/1.1\r\nHost: fleet\r\nX-Two: a\r\nx-two: b\r\n" + framing
    for at in range(0, len(raw), pieces):
        wire.server.receive(raw[at : at + pieces])
    (request,) = wire.requests
    assert (request.method, request.path, request.query, request.body) == ("POST", "/token", "x=1", body)
    assert request.headers["x-two"] == "a, b" and request.repeated == ("x-two",)
    assert wire.sent.endswith(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert (b"100 Continue" in wire.sent) == (b"Expect" in framing)
    assert not wire.closed


def test_requests_in_a_row_are_answered_in_order_also_when_the_first_is_late():
    wire = Wire(Reply(200, b"first", [], 0.05), Reply(200, b"second", []))
    wire.server.receive(GET + GET)
    assert len(wire.requests) == 1 and not wire.sent
    wire.server.release(0, wire.delayed[0])
    assert len(wire.requests) == 2
    assert wire.sent.index(b"first") < wire.sent.index(b"second")


def test_a_handler_may_take_its_time():
    async def story() -> None:
        wire = Wire()
        asked = asyncio.Event()

        async def handle(request: Request) -> Reply:
            await asked.wait()
            return Reply(200, b"slow", [])

        wire.handle = handle  # type: ignore[assignment, method-assign]
        wire.server.receive(GET)
        await asyncio.sleep(0)
        assert not wire.sent
        asked.set()
        while not wire.sent:
            await asyncio.sleep(0)
        assert wire.sent.endswith(b"slow")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("raw", "closes"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_a_connection_stays_unless_the_client_wants_it_closed(raw, closes):
    wire = Wire()
    wire.server.receive(raw)
    assert wire.closed == closes


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / SPDY/3\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: 1001\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, b"431"),
    ],
)
def test_what_is_no_request_is_refused_and_closed(raw, status):
    wire = Wire()
    wire.server.receive(raw)
    assert wire.sent.startswith(b"HTTP/1.1 " + status) and wire.closed and not wire.requests


def test_a_reset_closes_without_a_word():
    wire = Wire(Reply(200, b"", [], 0.0, Reset("CANCEL")))
    wire.server.receive(GET)
    assert wire.closed and not wire.sent


def test_a_body_may_break_off():
    wire = Wire(Reply(200, b"0123456789", [], 0.0, Broken(4)))
    wire.server.receive(GET)
    assert b"content-length: 10\r\n" in wire.sent and wire.sent.endswith(b"\r\n\r\n0123") and wire.closed
