"""The frame-level server against another HTTP/2 implementation's client, byte by byte and without sockets."""

from __future__ import annotations

import asyncio

import pytest
from jh2 import events
from jh2.config import H2Configuration
from jh2.connection import H2Connection

from fleet import frames
from fleet.endpoint import Endpoint
from fleet.http import Broken, Goaway, Reply, Request, Reset
from fleet.http2 import Http2

ECHO = Reply(200, b"ok", [("apns-id", "x" * 300)])


class Wire:
    """A client and a server that hand each other their bytes; the server's answers are the test's."""

    peer = first = ""

    def __init__(self, answer: Reply = ECHO, *, most_streams: int = 1000, most_body: int = 1 << 20) -> None:
        self.answer = answer
        self.most_streams = most_streams
        self.most_body = most_body
        self.requests: list[Request] = []
        self.delayed: list[tuple[int, Reply]] = []
        self.closed = False
        self._to_client = b""
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.server = Http2(self)
        self.client.initiate_connection()
        self.events: list[events.Event] = []
        self.talk()

    def write(self, data: bytes) -> None:
        self._to_client += data

    def close(self) -> None:
        self.closed = True

    def handle(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.answer

    def delay(self, stream: int, reply: Reply) -> None:
        self.delayed.append((stream, reply))

    def talk(self, *, bytewise: bool = False) -> None:
        """Carry bytes both ways until both are silent."""
        while True:
            up = self.client.data_to_send()
            for part in [up[at : at + 1] for at in range(len(up))] if bytewise else [up] if up else []:
                self.server.receive(part)
            down, self._to_client = self._to_client, b""
            if not up and not down:
                return
            if down:
                self.events += self.client.receive_data(down)

    def ask(self, body: bytes = b"{}", *, path: str = "/3/device/x?y=1", extra: list | None = None) -> int:
        """Send a request and return its stream; `talk` carries it."""
        stream = self.client.get_next_available_stream_id()
        fields = [(":method", "POST"), (":path", path), (":scheme", "https"), (":authority", "fleet")]
        self.client.send_headers(stream, fields + (extra or []), end_stream=not body)
        for at in range(0, len(body), 16_384):
            part = body[at : at + 16_384]
            self.client.send_data(stream, part, end_stream=at + len(part) == len(body))
        return stream

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def bodies(self) -> bytes:
        return b"".join(event.data for event in self.of(events.DataReceived))


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_request_arrives_whole_and_its_answer_too(bytewise):
    wire = Wire()
    wire.ask(b"x" * 40_000, extra=[("content-type", "text/plain"), ("x-é", "ü")])
    wire.talk(bytewise=bytewise)
    (request,) = wire.requests
    assert (request.method, request.path, request.query) == ("POST", "/3/device/x", "y=1")
    assert (request.headers["content-type"], len(request.body)) == ("text/plain", 40_000)
    (answer,) = wire.of(events.ResponseReceived)
    assert dict(answer.headers)["apns-id"] == "x" * 300
    assert wire.bodies() == b"ok" and wire.of(events.StreamEnded)


def test_a_request_without_a_body_is_complete_with_its_headers():
    wire = Wire()
    wire.ask(b"")
    wire.talk()
    assert wire.requests[0].body == b""


def test_headers_of_many_frames_are_put_together():
    wire = Wire()
    wire.ask(extra=[(f"x-{number}", "v" * 900) for number in range(30)])
    wire.talk()
    assert wire.requests[0].headers["x-29"] == "v" * 900


def test_headers_without_end_are_too_many():
    wire = Wire()
    wire.ask(extra=[(f"x-{number}", "v" * 900) for number in range(100)])
    wire.talk()
    assert wire.closed and wire.of(events.ConnectionTerminated)[0].error_code == 0xB


def test_repeated_headers_are_joined_and_named():
    wire = Wire()
    wire.ask(extra=[("urgency", "low"), ("urgency", "high"), ("ttl", "1")])
    wire.talk()
    assert wire.requests[0].headers["urgency"] == "low, high"
    assert wire.requests[0].repeated == ("urgency",)


def test_trailers_end_a_request():
    wire = Wire()
    stream = wire.client.get_next_available_stream_id()
    fields = [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "fleet")]
    wire.client.send_headers(stream, fields)
    wire.client.send_data(stream, b"body")
    wire.client.send_headers(stream, [("checksum", "1")], end_stream=True)
    wire.talk()
    assert wire.requests[0].body == b"body"


def test_padding_is_no_part_of_a_body():
    wire = Wire()
    stream = wire.client.get_next_available_stream_id()
    fields = [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "fleet")]
    wire.client.send_headers(stream, fields)
    wire.client.send_data(stream, b"body", end_stream=True, pad_length=100)
    wire.talk()
    assert wire.requests[0].body == b"body"


def test_a_body_larger_than_allowed_is_refused_before_its_end():
    wire = Wire(most_body=1000)
    wire.ask(b"x" * 1001)
    wire.talk()
    assert not wire.requests
    assert dict(wire.of(events.ResponseReceived)[0].headers)[":status"] == "413"
    wire.ask()
    wire.talk()
    assert len(wire.requests) == 1, "the connection goes on"


def test_a_large_answer_waits_for_the_windows_of_the_client():
    wire = Wire(Reply(200, b"y" * 300_000, []))
    stream = wire.ask()
    wire.talk()
    assert len(wire.bodies()) == 65_535
    for _ in range(4):
        wire.client.increment_flow_control_window(65_535)
        wire.client.increment_flow_control_window(65_535, stream)
        wire.talk()
    assert wire.bodies() == b"y" * 300_000 and wire.of(events.StreamEnded)


def test_many_small_answers_wait_for_the_window_of_the_connection():
    wire = Wire(Reply(200, b"y" * 1000, []))
    for _ in range(100):
        wire.ask()
    wire.talk()
    assert len(wire.bodies()) == 65_535
    wire.client.increment_flow_control_window(65_535)
    wire.talk()
    assert len(wire.bodies()) == 100_000 and len(wire.of(events.StreamEnded)) == 100


def test_a_client_may_close_its_streams_windows_and_open_them_one_by_one():
    wire = Wire(Reply(200, b"y" * 1000, []))
    wire.client.update_settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    first, second = wire.ask(), wire.ask()
    wire.talk()
    assert wire.bodies() == b""
    wire.client.increment_flow_control_window(1000, second)
    wire.talk()
    assert [event.stream_id for event in wire.of(events.StreamEnded)] == [second]
    wire.client.update_settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 1000})
    wire.talk()
    wire.client.increment_flow_control_window(1, first)
    wire.talk()
    assert [event.stream_id for event in wire.of(events.StreamEnded)] == [second, first]


def test_a_delayed_answer_is_given_later_and_not_to_who_has_left():
    wire = Wire(Reply(200, b"late", [], 0.05))
    stays, leaves = wire.ask(), wire.ask()
    wire.talk()
    assert not wire.bodies() and len(wire.delayed) == 2
    wire.client.reset_stream(leaves)
    wire.talk()
    for stream, reply in wire.delayed:
        wire.server.release(stream, reply)
    wire.server.flush()
    assert wire._to_client.count(b"late") == 1
    wire.talk()
    assert [event.stream_id for event in wire.of(events.StreamEnded)] == [stays]


def test_a_ping_is_answered():
    wire = Wire()
    wire.client.ping(b"12345678")
    wire.talk()
    assert wire.of(events.PingAckReceived)


def test_more_streams_than_announced_are_refused_and_can_be_sent_again():
    wire = Wire(Reply(200, b"", [], None), most_streams=2)
    assert wire.client.remote_settings.max_concurrent_streams == 2
    wire.client.remote_settings._settings[frames.SETTINGS_MAX_CONCURRENT_STREAMS].appendleft(100)
    for _ in range(3):
        wire.ask()
    wire.talk()
    (refused,) = wire.of(events.StreamReset)
    assert (refused.stream_id, refused.error_code, len(wire.requests)) == (5, 0x7, 2)


def test_fewer_streams_are_announced_and_held_to_once_the_client_knows():
    wire = Wire(Reply(200, b"", [], None))
    for _ in range(4):
        wire.ask()
    wire.server.announce(2)
    wire.server.flush()
    wire.talk()
    assert wire.client.remote_settings.max_concurrent_streams == 2
    assert len(wire.requests) == 4 and not wire.of(events.StreamReset)


def test_connections_that_stand_are_told_of_fewer_streams_once():
    told = []

    class Standing:
        """A connection that only listens to its endpoint."""

        def announce(self) -> None:
            told.append(endpoint.most_streams)

        def cut(self) -> None:
            """Nothing is under way."""

    endpoint = Endpoint(lambda request: ECHO)
    endpoint.connections.add(Standing())
    endpoint.limit_streams(2)
    endpoint.limit_streams(2)
    assert told == [2]
    asyncio.run(endpoint.stop())


def test_a_reset_takes_the_answers_place():
    wire = Wire(Reply(200, b"{}", [], 0.0, Reset("INTERNAL_ERROR")))
    wire.ask()
    wire.talk()
    (reset,) = wire.of(events.StreamReset)
    assert reset.error_code == 0x2 and not wire.of(events.ResponseReceived)


@pytest.mark.parametrize("wait", [0.0, 0.05])
def test_goaway_lets_earlier_streams_end_and_looks_at_no_later_ones(wait):
    wire = Wire(Reply(200, b"early", [], 0.05))
    wire.ask()
    wire.talk()
    wire.answer = Reply(200, b"last", [], wait, Goaway("Shutdown"))
    leaving, _ = wire.ask(), wire.ask()
    wire.server.receive(wire.client.data_to_send())
    assert len(wire.requests) == 2
    assert frames.goaway(leaving, 0, b'{"reason":"Shutdown"}') in wire._to_client
    assert not wire.closed, "an answer is still owed"
    for stream, reply in wire.delayed:
        wire.server.release(stream, reply)
    wire.server.flush()
    assert wire.closed
    assert b"early" in wire._to_client and b"last" in wire._to_client


def test_an_abrupt_goaway_owes_what_it_owes():
    wire = Wire(Reply(200, b"late", [], 0.05))
    wire.ask()
    wire.talk()
    wire.answer = Reply(200, b"now", [], 0.0, Goaway(abrupt=True))
    wire.ask()
    wire.talk()
    assert wire.closed and not wire.of(events.ResponseReceived)
    assert wire.of(events.ConnectionTerminated)


def test_a_body_may_break_off():
    wire = Wire(Reply(200, b"0123456789", [], 0.0, Broken(4)))
    wire.ask()
    wire.talk()
    (answer,) = wire.of(events.ResponseReceived)
    assert dict(answer.headers)["content-length"] == "10"
    assert wire.bodies() == b"0123" and wire.of(events.StreamReset)


@pytest.mark.parametrize(
    ("breach", "code"),
    [
        (frames.frame(frames.CONTINUATION, 4, 1), 0x1),
        (frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.PING, 0, 0, bytes(8)), 0x1),
        (frames.frame(frames.HEADERS, 4, 2, b"\x82"), 0x1),
        (frames.frame(frames.HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"), 0x9),
        (frames.frame(frames.PUSH_PROMISE, 4, 1), 0x1),
        (frames.frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)), 0x6),
        (frames.frame(frames.WINDOW_UPDATE, 0, 0, bytes(4)), 0x3),
        (frames.window_update(0, 2**31 - 1), 0x3),
        (frames.frame(frames.SETTINGS, 0, 0, bytes(5)), 0x6),
        (frames.frame(frames.HEADERS, 4 | 8, 1, b"\x09"), 0x1),
        (frames.frame(frames.DATA, 0, 1, bytes(16_385)), 0x6),
    ],
)
def test_a_breach_of_the_protocol_ends_the_connection(breach, code):
    wire = Wire()
    wire.server.receive(breach)
    wire.talk()
    assert wire.closed
    assert wire.of(events.ConnectionTerminated)[0].error_code == code


def test_what_does_not_begin_as_http2_ends():
    wire = Wire()
    server = Http2(wire)
    server.receive(b"GET / HTTP/1.1\r\n\r\n")
    assert wire.closed


def test_a_request_without_a_path_is_reset():
    wire = Wire()
    wire.server.receive(frames.frame(frames.HEADERS, 4 | 1, 1, b"\x83"))
    assert wire._to_client == frames.reset(1, 0x1)
    assert not wire.requests and not wire.closed


def test_a_preface_may_come_in_pieces():
    wire = Wire()
    again = Wire.__new__(Wire)
    again.__dict__.update(wire.__dict__, requests=[], closed=False)
    again.client = H2Connection(H2Configuration(client_side=True))
    again.server = Http2(again)
    again.client.initiate_connection()
    again.ask()
    again.talk(bytewise=True)
    assert len(again.requests) == 1
