"""What a connection makes of a server's frames; the server is written out, frame by frame."""

import struct

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.http2 import connection as module
from delivery.senders.http2 import frames
from delivery.senders.http2.connection import Answer, Connection, ConnectionEndError, Stream

OK, GONE = b"\x88", b"\x08\x03410"
END = frames.END_STREAM | frames.END_HEADERS


def settled(**settings: int) -> Connection:
    """Return a connection whose server has told its settings."""
    connection = Connection("provider.test")
    connection.receive(frames.settings(**settings))
    sent(connection)
    return connection


def start(connection: Connection, count: int = 1, *, body: bytes = b"{}") -> list[Answer]:
    answers: list[Answer] = []
    for key in range(count):
        connection.start(Stream(key, answers, f"/{key}", [], (), body), 0.0)
    return answers


def sent(connection: Connection) -> list[tuple[int, int, int, bytes]]:
    """Return what the connection has written: kind, flags, stream, payload."""
    data = connection.take()
    connection.sent += len(data)
    data = data.removeprefix(frames.PREFACE)
    found = []
    while data:
        high, low, kind, flags, stream = frames.read_head(data)
        end = 9 + (high << 8 | low)
        found.append((kind, flags, stream, data[9:end]))
        data = data[end:]
    return found


def headers(stream: int, block: bytes = OK, flags: int = END) -> bytes:
    return frames.frame(frames.HEADERS, flags, stream, block)


def data(stream: int, body: bytes, flags: int = frames.END_STREAM) -> bytes:
    return frames.frame(frames.DATA, flags, stream, body)


def reset(stream: int, code: int) -> bytes:
    return frames.frame(frames.RST_STREAM, 0, stream, struct.pack(">I", code))


def goodbye(last: int, code: int = 0, detail: bytes = b"") -> bytes:
    return frames.frame(frames.GOAWAY, 0, 0, struct.pack(">II", last, code) + detail)


def more_room(stream: int, count: int) -> bytes:
    return frames.frame(frames.WINDOW_UPDATE, 0, stream, struct.pack(">I", count))


def test_nothing_is_started_before_the_server_has_told_its_limits() -> None:
    connection = Connection("provider.test")
    assert connection.take().startswith(frames.PREFACE) and connection.room == 0
    connection.receive(frames.settings(max_concurrent_streams=3))
    assert connection.room == 3
    assert (frames.SETTINGS, frames.ACK, 0, b"") in sent(connection)


def test_a_request_is_a_block_and_its_body() -> None:
    connection = settled()
    start(connection, 2, body=b'{"a":1}')
    decoder = hpack.Decoder()
    (kind, flags, one, block), (body_kind, body_flags, _, body), (_, _, three, _), _ = sent(connection)
    assert (kind, flags, one, three) == (frames.HEADERS, frames.END_HEADERS, 1, 3)
    assert dict(decoder.decode(block))[":path"] == "/0"
    assert (body_kind, body_flags, body) == (frames.DATA, frames.END_STREAM, b'{"a":1}')


def test_answers_come_in_any_order_and_in_any_pieces() -> None:
    written = (
        headers(5, GONE, frames.END_HEADERS)
        + data(5, b'{"reason":', 0)
        + headers(1)
        + headers(3, OK, frames.END_HEADERS)
        + data(5, b'"Unregistered"}')
        + data(3, b"{}")
    )
    for size in (1, 2, 7, 10, len(written)):
        connection = settled()
        answers = start(connection, 3)
        for at in range(0, len(written), size):
            connection.receive(written[at : at + size])
        assert answers == [
            Answer(0, 200),
            Answer(2, 410, b'{"reason":"Unregistered"}'),
            Answer(1, 200, b"{}"),
        ]
        assert connection.room == 1000 and connection.answered == 3


def test_a_block_may_come_in_pieces_with_padding_and_priority() -> None:
    connection = settled()
    answers = start(connection)
    head = b"\x02" + bytes(5) + b"\x08" + b"\x00\x00"
    flags = frames.PADDED | frames.WITH_PRIORITY
    connection.receive(frames.frame(frames.HEADERS, flags, 1, head))
    connection.receive(frames.frame(frames.CONTINUATION, 0, 1, b"\x03"))
    connection.receive(frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"503"))
    connection.receive(frames.frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\x03busy\0\0\0"))
    assert answers == [Answer(0, 503, b"busy")]


def test_a_frame_between_the_pieces_of_a_block_ends_the_connection() -> None:
    connection = settled()
    start(connection)
    connection.receive(frames.frame(frames.HEADERS, 0, 1, OK))
    with pytest.raises(ConnectionEndError, match="torn apart"):
        connection.receive(frames.frame(frames.PING, 0, 0, bytes(8)))


def test_an_early_answer_and_trailers_are_no_answers() -> None:
    connection = settled()
    answers = start(connection)
    connection.receive(headers(1, b"\x08\x03103", frames.END_HEADERS))
    connection.receive(headers(1, OK, frames.END_HEADERS) + data(1, b"{}", 0))
    assert answers == []
    connection.receive(headers(1, b"\x00\x01a\x01b"))
    assert answers == [Answer(0, 200, b"{}")]


def test_an_answer_without_a_status_is_unknown() -> None:
    connection = settled()
    answers = start(connection)
    connection.receive(headers(1, b"\x00\x01a\x01b"))
    assert answers[0].error and answers[0].unknown


def test_a_refused_stream_is_untouched_and_another_code_is_unknown() -> None:
    connection = settled()
    answers = start(connection, 2)
    connection.receive(reset(1, frames.REFUSED_STREAM) + reset(3, 2))
    assert [stream.key for stream in connection.unstarted] == [0]
    assert answers == [Answer(1, error="the provider reset the request: INTERNAL_ERROR", unknown=True)]


def test_after_a_goodbye_the_untouched_go_elsewhere_and_the_others_are_answered() -> None:
    connection = settled()
    answers = start(connection, 4)
    connection.receive(goodbye(3, 0, b'{"reason":"Shutdown"}'))
    assert [stream.key for stream in connection.unstarted] == [2, 3]
    assert connection.room == 0 and "Shutdown" in connection.draining
    connection.receive(headers(1) + headers(3))
    assert [answer.key for answer in answers] == [0, 1] and not connection.streams


def test_a_goodbye_in_two_steps_leaves_time_for_what_is_under_way() -> None:
    connection = settled()
    start(connection, 2)
    connection.receive(goodbye(2**31 - 1))
    assert connection.unstarted == [] and connection.draining
    connection.receive(goodbye(1))
    assert [stream.key for stream in connection.unstarted] == [1]


def test_of_a_lost_connection_only_what_has_left_is_unknown() -> None:
    connection = settled()
    answers = start(connection, 2)
    sent(connection)
    connection.start(Stream("kept", answers, "/", [], (), b""), 0.0)
    connection.close("it broke")
    assert answers == [Answer(key, error="it broke", unknown=True) for key in (0, 1)]
    assert [stream.key for stream in connection.unstarted] == ["kept"]


def test_a_servers_limit_may_change() -> None:
    connection = settled(max_concurrent_streams=1)
    start(connection)
    assert connection.room == 0
    connection.receive(frames.settings(max_concurrent_streams=1000))
    assert connection.room == 999


def test_a_body_waits_for_the_windows_and_nothing_is_lost() -> None:
    connection = settled(initial_window_size=10)
    start(connection, body=b"x" * 25)
    assert connection.room == 0, "who waits first goes first"
    assert [frame[3] for frame in sent(connection) if frame[0] == frames.DATA] == [b"x" * 10]
    connection.receive(more_room(1, 5))
    connection.receive(frames.settings(initial_window_size=15))
    assert b"".join(frame[3] for frame in sent(connection) if frame[0] == frames.DATA) == b"x" * 10
    connection.receive(more_room(1, 100))
    (rest,) = [frame for frame in sent(connection) if frame[0] == frames.DATA]
    assert rest[1] == frames.END_STREAM and rest[3] == b"x" * 5
    assert connection.room == 999


def test_the_connections_window_holds_up_all_its_streams() -> None:
    connection = settled()
    answers = start(connection, 4, body=b"x" * 20_000)
    assert sum(len(frame[3]) for frame in sent(connection) if frame[0] == frames.DATA) == 65_535
    connection.receive(more_room(0, 100_000))
    bodies = [frame for frame in sent(connection) if frame[0] == frames.DATA]
    assert sum(len(frame[3]) for frame in bodies) == 80_000 - 65_535
    assert all(len(frame[3]) <= 16_384 for frame in bodies)
    connection.receive(b"".join(headers(number) for number in (1, 3, 5, 7)))
    assert len(answers) == 4


def test_an_answer_before_the_whole_body_ends_the_request() -> None:
    connection = settled(initial_window_size=1)
    answers = start(connection, body=b"xyz")
    sent(connection)
    connection.receive(headers(1, GONE))
    assert answers == [Answer(0, 410)]
    assert sent(connection)[0][0] == frames.RST_STREAM and connection.room == 1000


def test_a_body_that_does_not_end_is_cut_off() -> None:
    connection = settled()
    answers = start(connection)
    connection.receive(headers(1, OK, frames.END_HEADERS))
    for _ in range(4):
        connection.receive(data(1, b"x" * 16_384, 0))
    assert answers[0].error == "an answer that is too long" and answers[0].unknown
    assert [frame[0] for frame in sent(connection)][-1] == frames.RST_STREAM
    connection.receive(data(1, b"x"))
    assert len(answers) == 1


def test_the_window_for_answers_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CREDIT_BYTES", 100)
    connection = settled()
    start(connection, 2)
    sent(connection)
    for number in (1, 3):
        connection.receive(headers(number, OK, frames.END_HEADERS) + data(number, b"x" * 60))
    assert (frames.WINDOW_UPDATE, 0, 0, struct.pack(">I", 120)) in sent(connection)


def test_a_ping_is_answered_and_ours_are_awaited() -> None:
    connection = settled()
    connection.receive(frames.frame(frames.PING, 0, 0, b"are you?"))
    assert sent(connection) == [(frames.PING, frames.ACK, 0, b"are you?")]
    connection.ping()
    assert not connection.quiet
    ((_, _, _, payload),) = sent(connection)
    connection.receive(frames.frame(frames.PING, frames.ACK, 0, payload))
    assert connection.quiet


def test_unknown_frames_and_closed_streams_are_passed_over() -> None:
    connection = settled()
    answers = start(connection)
    connection.receive(frames.frame(0xEE, 0xFF & ~frames.PADDED, 9, b"whatever"))
    connection.receive(data(77, b"late") + headers(77) + reset(77, 0) + more_room(77, 5))
    connection.receive(headers(1))
    assert answers == [Answer(0, 200)]


def test_frames_without_end_that_bring_no_answer_end_the_connection() -> None:
    connection = settled()
    pings = frames.frame(frames.PING, frames.ACK, 0, bytes(8)) * (module.IDLE_FRAMES + 10)
    with pytest.raises(ConnectionEndError, match="without end"):
        connection.receive(pings)


@pytest.mark.parametrize(
    "written",
    [
        frames.head(2**20, frames.DATA, 0, 1),
        frames.frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(5)),
        frames.frame(frames.SETTINGS, 0, 0, b"\x00"),
        frames.frame(frames.GOAWAY, 0, 0, b"\x00"),
        frames.frame(frames.WINDOW_UPDATE, 0, 0, b""),
        headers(1, b"\xc5"),
        headers(1, b""),
        more_room(0, 2**31 - 1) + more_room(0, 2**31 - 1),
        frames.settings(initial_window_size=2**31),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_what_is_not_http2_ends_the_connection(written: bytes) -> None:
    connection = settled()
    start(connection)
    with pytest.raises(ConnectionEndError):
        connection.receive(written)


@given(
    written=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                frames.frame,
                st.integers(0, 10),
                st.integers(0, 255),
                st.integers(0, 9),
                st.binary(max_size=12),
            ),
        ),
        max_size=12,
    )
)
def test_whatever_a_server_writes_each_request_has_one_answer_at_most(written: list[bytes]) -> None:
    connection = settled()
    answers = start(connection, 4)
    sent(connection)
    try:
        for piece in written:
            connection.receive(piece)
    except ConnectionEndError:
        pass
    connection.close("over")
    keys = [answer.key for answer in answers] + [stream.key for stream in connection.unstarted]
    assert sorted(keys) == [0, 1, 2, 3]
