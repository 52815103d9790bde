"""One HTTP/2 connection as a client sees it: bytes in, bytes out, no socket (RFC 9113)."""

import struct
from typing import Any, NamedTuple

import msgspec

from delivery.senders.http2 import frames, headers

BODY_BYTES = 64 * 1024
"""The longest body of an answer; as a stream's window it is also the most that a server may send."""
CREDIT_BYTES = 2**24
"""Bytes of bodies after which the connection's window is opened again."""
IDLE_FRAMES, FRAMES_AN_ANSWER = 10_000, 16
"""So many frames besides the answers end the connection: somebody is playing with us."""
MOST_HIGH = frames.LEAST_MAX_FRAME >> 8
_BARE_HEADERS = frames.END_HEADERS | frames.PADDED | frames.WITH_PRIORITY


class ConnectionEndError(Exception):
    """The connection is of no use any more; the text says why."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What became of a request.

    Answered: `error` is empty. Refused: `error` says why, and the request never left, so another try
    is no repeat. Unknown: `unknown` is true too, the request may have arrived. `retry_after` is in
    seconds, 0 for none.
    """

    key: Any
    status: int = 0
    body: bytes = b""
    retry_after: int = 0
    error: str = ""
    unknown: bool = False


class Stream(msgspec.Struct, gc=False):
    """A request and what has come of it; `answers` is where its answer goes.

    `since` (`time.monotonic()`) is when it was given to us or, later, written. `place` counts the bytes that
    the connection had written before it, `tries` how often it was started in vain.
    """

    key: Any
    answers: list[Answer]
    path: str
    lines: list[str]
    own: tuple[tuple[str, str], ...]
    body: bytes
    since: float = 0.0
    place: int = 0
    tries: int = 0
    status: int = 0
    retry_after: int = 0
    received: bytes = b""

    def end(self, error: str, *, unknown: bool) -> None:
        """Answer with an error."""
        self.answers.append(Answer(self.key, error=error, unknown=unknown))


class _Unsent(NamedTuple):
    """The rest of a body, and how much of it the server takes on its stream now."""

    rest: bytes
    window: int


class Connection:
    """Streams over one connection. The owner moves bytes: `take()` to the socket, what comes to `receive()`.

    `left` must be told how many bytes have gone to the socket for good (`sent`), so that it is known which
    requests cannot have arrived.
    """

    def __init__(
        self, authority: str, *, bare: frozenset[bytes] = frozenset(), most_streams: int = 1000
    ) -> None:
        self.streams: dict[int, Stream] = {}
        """What is under way, the oldest first."""
        self.unstarted: list[Stream] = []
        """What the server has not touched and never will: it may be sent again elsewhere."""
        self.draining = ""
        """Why no more requests may be started, empty while they may."""
        self.settled = False
        """Whether the server has told its limits."""
        self.answered = 0
        self.sent = 0
        self._authority = authority
        self._bare = bare
        self._most_streams = most_streams
        self._limit = most_streams
        self._writer = headers.Writer(authority, bare=bare)
        self._next = 1
        self._window = frames.DEFAULT_WINDOW
        self._initial_window = frames.DEFAULT_WINDOW
        self._max_frame = frames.LEAST_MAX_FRAME
        self._unsent: dict[int, _Unsent] = {}
        self._credit = 0
        self._idle_frames = 0
        self._rest = b""
        self._block: tuple[int, int, bytes] | None = None
        self._pinged = 0
        self._ponged = 0
        self._out: list[bytes] = [
            frames.PREFACE,
            frames.settings(header_table_size=0, enable_push=0, initial_window_size=BODY_BYTES),
            frames.frame(
                frames.WINDOW_UPDATE, 0, 0, frames.number(frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW)
            ),
        ]
        self._written = sum(map(len, self._out))

    @property
    def room(self) -> int:
        """How many more requests may be started now."""
        if self.draining or self._unsent or not self.settled:
            return 0
        return self._limit - len(self.streams)

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return self._limit

    def start(self, stream: Stream, now: float) -> bool:
        """Write a request; return whether there is room for another."""
        number = self._next
        self._next = number + 2
        if number > frames.LAST_STREAM - 4:
            self.draining = "the numbers of its streams are used up"
        stream.since = now
        stream.place = self._written
        self.streams[number] = stream
        body = stream.body
        length = len(body)
        block = self._writer.block(stream.path, stream.lines, stream.own, length)
        most = self._max_frame
        if length <= self._window and length <= self._initial_window and length <= most >= len(block):
            self._window -= length
            self._out += (
                frames.head(len(block), frames.HEADERS, frames.END_HEADERS, number),
                block,
                frames.head(length, frames.DATA, frames.END_STREAM, number),
                body,
            )
            self._written += len(block) + length + 2 * frames.HEAD_BYTES
            return len(self.streams) < self._limit and not self.draining
        parts = [block[at : at + most] for at in range(0, len(block), most)]
        kinds = [frames.HEADERS] + [frames.CONTINUATION] * (len(parts) - 1)
        flags = [0] * (len(parts) - 1) + [frames.END_HEADERS]
        for kind, flag, part in zip(kinds, flags, parts, strict=True):
            self._write(frames.frame(kind, flag, number, part))
        self._unsent[number] = _Unsent(body, self._initial_window)
        self._send_rests()
        return self.room > 0

    def take(self) -> bytes:
        """Return what is to be written to the socket now."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    @property
    def has_output(self) -> bool:
        """Whether `take()` has something."""
        return bool(self._out)

    def ping(self) -> None:
        """Ask for a sign of life; `quiet` is false until it comes."""
        self._pinged += 1
        self._write(frames.frame(frames.PING, 0, 0, self._pinged.to_bytes(8)))

    @property
    def quiet(self) -> bool:
        """Whether every ping was answered."""
        return self._pinged == self._ponged

    def cancel(self, number: int) -> Stream:
        """Take no more interest in a stream, and say so."""
        stream = self.streams.pop(number)
        self._unsent.pop(number, None)
        self._write(frames.frame(frames.RST_STREAM, 0, number, frames.number(frames.CANCEL)))
        return stream

    def has_left(self, stream: Stream) -> bool:
        """Whether a byte of the request has gone to the socket."""
        return stream.place < self.sent

    def close(self, why: str) -> None:
        """Answer all that is under way: the connection is lost."""
        self.draining = self.draining or why
        for stream in self.streams.values():
            if self.has_left(stream):
                stream.end(why, unknown=True)
            else:
                stream.tries += 1
                self.unstarted.append(stream)
        self.streams.clear()

    def receive(self, data: bytes) -> None:
        """Read what the server has written; raises `ConnectionEndError` for what is not HTTP/2."""
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        streams = self.streams
        try:
            while size - at >= frames.HEAD_BYTES:
                high, low, kind, flags, number = frames.read_head(data, at)
                begin = at + frames.HEAD_BYTES
                end = begin + (high << 8 | low)
                if end > size or high > MOST_HIGH:
                    if high > MOST_HIGH:
                        raise ConnectionEndError("a frame that is too long")
                    break
                at = end
                if self._block is not None or flags & frames.PADDED:
                    self._other(kind, flags, number, data[begin:end])
                elif kind == frames.HEADERS and flags & _BARE_HEADERS == frames.END_HEADERS:
                    if begin < end and data[begin] == headers.STATUS_200 and number in streams:
                        # Nearly every answer; it takes half of the time that the general way would.
                        stream = streams[number]
                        stream.status = stream.status or 200
                        if flags & frames.END_STREAM:
                            self._finish(number, stream)
                    else:
                        self._headers(number, data[begin:end], flags)
                elif kind == frames.DATA:
                    self._data(number, data[begin:end], flags, end - begin)
                else:
                    self._other(kind, flags, number, data[begin:end])
        except (IndexError, struct.error, headers.BlockError) as error:
            raise ConnectionEndError(f"a malformed frame: {error}") from error
        self._rest = data[at:] if at else data

    def _write(self, written: bytes) -> None:
        self._out.append(written)
        self._written += len(written)

    def _headers(self, number: int, block: bytes, flags: int) -> None:
        status, wait = headers.read(block)
        stream = self.streams.get(number)
        if stream is None:
            return
        if status >= 200 and not stream.status:
            stream.status = status
            stream.retry_after = wait
        if flags & frames.END_STREAM:
            self._finish(number, stream)

    def _data(self, number: int, body: bytes, flags: int, length: int) -> None:
        self._credit += length
        if self._credit >= CREDIT_BYTES:
            self._write(frames.frame(frames.WINDOW_UPDATE, 0, 0, frames.number(self._credit)))
            self._credit = 0
        stream = self.streams.get(number)
        if stream is None:
            self._count_idle()
            return
        if body:
            stream.received = stream.received + body if stream.received else body
        if flags & frames.END_STREAM:
            self._finish(number, stream)
        elif len(stream.received) >= BODY_BYTES:
            self.cancel(number)
            stream.end("an answer that is too long", unknown=True)

    def _finish(self, number: int, stream: Stream) -> None:
        del self.streams[number]
        self.answered += 1
        if self._unsent.pop(number, None) is not None:
            self._write(frames.frame(frames.RST_STREAM, 0, number, frames.number(frames.NO_ERROR)))
        if stream.status:
            stream.answers.append(Answer(stream.key, stream.status, stream.received, stream.retry_after))
        else:
            stream.end("an answer without a status", unknown=True)

    def _other(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Read what does not come with every answer."""
        if self._block is not None or kind == frames.CONTINUATION:
            self._continue(kind, flags, number, payload)
            return
        self._count_idle()
        if kind in (frames.HEADERS, frames.DATA):
            length = len(payload)
            if flags & frames.PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if kind == frames.DATA:
                self._data(number, payload, flags, length)
                return
            if flags & frames.WITH_PRIORITY:
                payload = payload[5:]
            if flags & frames.END_HEADERS:
                self._headers(number, payload, flags)
            else:
                self._block = (number, flags, payload)
        elif kind == frames.RST_STREAM:
            self._reset(number, frames.read_number(payload)[0])
        elif kind == frames.SETTINGS:
            self._settings(flags, payload)
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionEndError("a push that we do not allow")
        elif kind == frames.PING:
            if flags & frames.ACK:
                self._ponged = self._pinged
            else:
                self._write(frames.frame(frames.PING, frames.ACK, 0, payload[:8]))
        elif kind == frames.GOAWAY:
            self._go_away(payload)
        elif kind == frames.WINDOW_UPDATE:
            self._open_window(number, frames.read_number(payload)[0] & frames.LARGEST_WINDOW)

    def _continue(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is None or kind != frames.CONTINUATION or self._block[0] != number:
            raise ConnectionEndError("a header block that is torn apart")
        _, first, block = self._block
        block += payload
        if len(block) > BODY_BYTES:
            raise ConnectionEndError("a header block that is too long")
        self._block = None if flags & frames.END_HEADERS else (number, first, block)
        if self._block is None:
            self._headers(number, block, first)
        else:
            self._count_idle()

    def _count_idle(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > IDLE_FRAMES + FRAMES_AN_ANSWER * self.answered:
            raise ConnectionEndError("frames without end that bring no answer")

    def _reset(self, number: int, code: int) -> None:
        stream = self.streams.pop(number, None)
        self._unsent.pop(number, None)
        if stream is None:
            return
        if code == frames.REFUSED_STREAM:
            stream.tries += 1
            self.unstarted.append(stream)
        elif code == frames.NO_ERROR and stream.status:
            stream.answers.append(Answer(stream.key, stream.status, stream.received, stream.retry_after))
        else:
            stream.end(f"the provider reset the request: {frames.error_name(code)}", unknown=True)

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            return
        for name, value in frames.read_settings(payload):
            if name == frames.MAX_CONCURRENT_STREAMS:
                self._limit = min(value, self._most_streams)
            elif name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise ConnectionEndError("a window that is too large")
                added = value - self._initial_window
                self._initial_window = value
                self._unsent = {n: _Unsent(u.rest, u.window + added) for n, u in self._unsent.items()}
            elif name == frames.MAX_FRAME_SIZE:
                self._max_frame = min(max(value, frames.LEAST_MAX_FRAME), frames.MOST_MAX_FRAME)
            elif name == frames.HEADER_TABLE_SIZE and not self.settled:
                # Known before the first request is written; a server that changes its mind later is let go.
                self._writer = headers.Writer(self._authority, room=value, bare=self._bare)
            elif name == frames.HEADER_TABLE_SIZE and value < headers.TABLE_BYTES:
                self.draining = "the server changed its table"
        self.settled = True
        self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._send_rests()

    def _go_away(self, payload: bytes) -> None:
        last, code = frames.read_number(payload)[0] & frames.LARGEST_WINDOW, frames.read_number(payload, 4)[0]
        detail = payload[8:200].decode("utf-8", "replace")
        self.draining = f"the provider said goodbye: {frames.error_name(code)} {detail}".rstrip()
        for number in [number for number in self.streams if number > last]:
            stream = self.streams.pop(number)
            # A connection that has done its work may say goodbye as often as it likes; one that never did is a refusal.
            stream.tries += self.answered == 0
            self.unstarted.append(stream)
            self._unsent.pop(number, None)

    def _open_window(self, number: int, added: int) -> None:
        if number == 0:
            self._window += added
            if self._window > frames.LARGEST_WINDOW:
                raise ConnectionEndError("a window that is too large")
        elif number in self._unsent:
            unsent = self._unsent[number]
            self._unsent[number] = _Unsent(unsent.rest, unsent.window + added)
        self._send_rests()

    def _send_rests(self) -> None:
        """Send of the bodies that had to wait as much as the windows allow, the oldest first."""
        for number, unsent in list(self._unsent.items()):
            rest, window = unsent
            while True:
                length = min(len(rest), window, self._window, self._max_frame) if rest else 0
                if rest and length <= 0:
                    self._unsent[number] = _Unsent(rest, window)
                    break
                flags = frames.END_STREAM if length == len(rest) else 0
                self._write(frames.frame(frames.DATA, flags, number, rest[:length]))
                rest = rest[length:]
                window -= length
                self._window -= length
                if flags:
                    del self._unsent[number]
                    break
