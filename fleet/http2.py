"""One HTTP/2 connection of the fleet's server: frames in, requests out, answers back.

It knows of HTTP/2 what a server of small requests needs: multiplexing, HPACK (decoded natively), flow control both
ways, GOAWAY and RST_STREAM. It keeps no priorities and pushes nothing. Source: RFC 9113.
"""

from __future__ import annotations

from typing import Protocol

from jh2._hazmat import Decoder, HPACKError, OversizedHeaderListError

from fleet import frames
from fleet.frames import ERRORS, HEAD, MOST_FRAME
from fleet.http import Broken, Goaway, Reply, Request, Reset, too_large

MOST_HEADERS = 65_536
_WINDOW = 1 << 20
_DEFAULT_WINDOW = 65_535
_MOST_WINDOW = (1 << 31) - 1
_REFILL = 1 << 29
_ASSUMED_STREAMS = 100
_MOST_NAMES = 10_000

_WHOLE = frames.END_HEADERS | frames.PADDED | frames.HAS_PRIORITY

_Fields = list[tuple[bytes, bytes, bool]]


class _Names(dict[bytes, str]):
    """Header names as text: there are few, and they come again and again."""

    def __missing__(self, raw: bytes) -> str:
        name = raw.decode("latin1")
        if len(self) < _MOST_NAMES:
            self[raw] = name
        return name


_NAMES = _Names()


class Host(Protocol):
    """Who owns a connection's transport and knows what to answer."""

    peer: str
    first: str
    most_body: int
    most_streams: int

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Close after what was written."""

    def handle(self, request: Request) -> Reply: ...

    def delay(self, stream: int, reply: Reply) -> None:
        """Call `release` with these after `reply.wait` seconds."""


class BreachError(Exception):
    """The client broke the protocol; `code` is a name of ERRORS."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Incoming:
    """A request whose body is not complete."""

    __slots__ = ("body", "fields", "size")

    def __init__(self, fields: _Fields) -> None:
        self.fields = fields
        self.body: list[bytes] = []
        self.size = 0


class _Owed:
    """A body that flow control holds back; `ends` says whether the stream ends with it in order."""

    __slots__ = ("body", "ends", "window")

    def __init__(self, body: memoryview, window: int, *, ends: bool) -> None:
        self.body = body
        self.window = window
        self.ends = ends


class Http2:
    """Reads requests from bytes and writes answers; the host is asked once a request is complete."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._decoder = Decoder(MOST_HEADERS)
        self._rest = b""
        self._greeted = False
        self._over = False
        self._continued: tuple[int, int, bytearray] | None = None
        self._last = 0
        self._last_taken: int | None = None
        self._incoming: dict[int, _Incoming] = {}
        self._waiting: set[int] = set()
        self._owed: dict[int, _Owed] = {}
        self._credit: dict[int, int] = {}
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._consumed = 0
        # What a client sends before it knows the announced limit is not held against it.
        self._limits = [max(_ASSUMED_STREAMS, host.most_streams), host.most_streams]
        values = {
            frames.SETTINGS_MAX_CONCURRENT_STREAMS: host.most_streams,
            frames.SETTINGS_INITIAL_WINDOW_SIZE: _WINDOW,
            frames.SETTINGS_MAX_HEADER_LIST_SIZE: MOST_HEADERS,
        }
        self._out = [frames.settings(values), frames.window_update(0, _MOST_WINDOW - _DEFAULT_WINDOW)]
        self.flush()

    @property
    def open_streams(self) -> int:
        return len(self._incoming) + len(self._waiting) + len(self._owed)

    def announce(self, most_streams: int) -> None:
        """Allow so many streams from the client's acknowledgement on."""
        self._limits.append(most_streams)
        self._out.append(frames.settings({frames.SETTINGS_MAX_CONCURRENT_STREAMS: most_streams}))

    def receive(self, data: bytes) -> None:
        """Take bytes from the client, answer what is complete, and write."""
        try:
            self._read(self._rest + data if self._rest else data)
        except BreachError as error:
            self._end(error.code, str(error))
        self.flush()

    def release(self, stream: int, reply: Reply) -> None:
        """Give an answer whose time has come; `flush` sends it."""
        if stream in self._waiting:
            self._waiting.remove(stream)
            self._write(stream, reply)

    def flush(self) -> None:
        """Send what was written."""
        if self._out:
            self._host.write(b"".join(self._out))
            self._out.clear()
        if self._over or (self._last_taken is not None and not self.open_streams):
            self._over = True
            self._host.close()

    def _read(self, data: bytes) -> None:
        at, size = 0, len(data)
        if not self._greeted:
            if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise BreachError("PROTOCOL_ERROR", "no HTTP/2 preface")
            if size < len(frames.PREFACE):
                self._rest = data
                return
            self._greeted, at = True, len(frames.PREFACE)
        while size - at >= HEAD and not self._over:
            head, flags, stream = frames.read_head(data, at)
            end = at + HEAD + (head >> 8)
            if head >> 8 > MOST_FRAME:
                raise BreachError("FRAME_SIZE_ERROR", "a frame is larger than 16384")
            if end > size:
                break
            kind = head & 0xFF
            if kind == frames.DATA and not self._continued:
                self._take_data(flags, stream, data[at + HEAD : end])
            elif kind == frames.HEADERS and flags & _WHOLE == frames.END_HEADERS and not self._continued:
                self._open(flags, stream, data[at + HEAD : end])
            else:
                self._take(kind, flags, stream & 0x7FFFFFFF, data[at + HEAD : end])
            at = end
        self._rest = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._continued is not None and kind != frames.CONTINUATION:
            raise BreachError("PROTOCOL_ERROR", "a header block was interrupted")
        if kind == frames.HEADERS:
            self._take_headers(flags, stream, payload)
        elif kind == frames.CONTINUATION:
            self._continue(flags, stream, payload)
        elif kind == frames.WINDOW_UPDATE:
            self._widen(stream, payload)
        elif kind == frames.SETTINGS:
            self._settle(flags, payload)
        elif kind == frames.RST_STREAM:
            self._forget(stream)
        elif kind == frames.PING and not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.PUSH_PROMISE:
            raise BreachError("PROTOCOL_ERROR", "a client cannot push")

    def _take_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if flags & (frames.PADDED | frames.HAS_PRIORITY):
            payload = _unpadded(flags, payload)
            if flags & frames.HAS_PRIORITY:
                payload = payload[5:]
        if not flags & frames.END_HEADERS:
            self._continued = (stream, flags, bytearray(payload))
            return
        self._open(flags, stream, payload)

    def _continue(self, flags: int, stream: int, payload: bytes) -> None:
        if self._continued is None or self._continued[0] != stream:
            raise BreachError("PROTOCOL_ERROR", "a continuation of nothing")
        _, first_flags, block = self._continued
        block += payload
        if len(block) > MOST_HEADERS:
            raise BreachError("ENHANCE_YOUR_CALM", "too many header bytes")
        if flags & frames.END_HEADERS:
            self._continued = None
            self._open(first_flags, stream, bytes(block))

    def _open(self, flags: int, stream: int, block: bytes) -> None:
        try:
            # Also for a stream that is refused: the decoder's table must see every block.
            fields = self._decoder.decode(block, True)
        except OversizedHeaderListError as error:
            raise BreachError("ENHANCE_YOUR_CALM", "too many header bytes") from error
        except HPACKError as error:
            raise BreachError("COMPRESSION_ERROR", "a header block cannot be decoded") from error
        incoming = self._incoming.get(stream)
        if incoming is not None:  # Trailers end a request; nobody reads them.
            self._complete(stream, incoming)
            return
        if not stream & 1 or stream <= self._last:
            raise BreachError("PROTOCOL_ERROR", f"stream {stream} cannot be opened")
        self._last = stream
        if self._last_taken is not None:
            return
        if self.open_streams >= max(self._limits):
            self._out.append(frames.reset(stream, ERRORS["REFUSED_STREAM"]))
        elif flags & frames.END_STREAM:
            self._ask(stream, fields, b"")
        else:
            self._incoming[stream] = _Incoming(fields)

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._consumed += len(payload)
        if self._consumed >= _REFILL:
            self._out.append(frames.window_update(0, self._consumed))
            self._consumed = 0
        incoming = self._incoming.get(stream)
        if incoming is None:  # It was refused or reset, or ended; the client may not know yet.
            return
        if flags & frames.PADDED:
            payload = _unpadded(flags, payload)
        if flags & frames.END_STREAM and not incoming.size:  # Nearly always one frame is the whole body.
            del self._incoming[stream]
            if len(payload) <= self._host.most_body:
                self._ask(stream, incoming.fields, payload)
                return
        incoming.body.append(payload)
        incoming.size += len(payload)
        if incoming.size > self._host.most_body:
            self._incoming.pop(stream, None)
            self._write(stream, too_large(self._host.most_body))
            self._out.append(frames.reset(stream, ERRORS["NO_ERROR"]))
        elif flags & frames.END_STREAM:
            self._complete(stream, incoming)

    def _complete(self, stream: int, incoming: _Incoming) -> None:
        del self._incoming[stream]
        body = incoming.body
        self._ask(stream, incoming.fields, body[0] if len(body) == 1 else b"".join(body))

    def _ask(self, stream: int, fields: _Fields, body: bytes) -> None:
        headers = {_NAMES[name]: value.decode("latin1") for name, value, _ in fields}
        repeated: tuple[str, ...] = ()
        if len(headers) != len(fields):
            repeated = _join(headers, fields)
        method, target = headers.pop(":method", ""), headers.pop(":path", "")
        if not method or not target:
            self._out.append(frames.reset(stream, ERRORS["PROTOCOL_ERROR"]))
            return
        path, _, query = target.partition("?")
        host = self._host
        reply = host.handle(Request(method, path, query, headers, body, repeated, host.peer, host.first))
        if isinstance(reply.mishap, Goaway):
            # At once, also where the answer is late: of the streams that follow none is looked at.
            self._leave(stream, reply.mishap)
        if reply.wait == 0.0:
            self._write(stream, reply)
            return
        self._waiting.add(stream)
        if reply.wait is not None:
            host.delay(stream, reply)

    def _write(self, stream: int, reply: Reply) -> None:
        mishap = reply.mishap
        if mishap is not None and self._befalls(stream, reply):
            return
        body, out = reply.body, self._out
        out.append(frames.answer_headers(stream, reply.status, reply.headers, ends=not body))
        if not body:
            return
        size = len(body)
        if size <= self._window and size <= self._stream_window and size <= MOST_FRAME:
            self._window -= size
            out.append(frames.frame(frames.DATA, frames.END_STREAM, stream, body))
        else:
            self._owe(stream, body, ends=True)

    def _befalls(self, stream: int, reply: Reply) -> bool:
        """Let a mishap happen; return whether it took the answer's place."""
        mishap = reply.mishap
        if isinstance(mishap, Reset):
            self._out.append(frames.reset(stream, ERRORS[mishap.code]))
            return True
        if isinstance(mishap, Broken):
            fields = [*reply.headers, ("content-length", str(len(reply.body)))]
            self._out.append(frames.answer_headers(stream, reply.status, fields, ends=False))
            self._owe(stream, reply.body[: mishap.after], ends=False)
            return True
        return isinstance(mishap, Goaway) and mishap.abrupt

    def _leave(self, last: int, goaway: Goaway) -> None:
        """Say which streams still get an answer; whatever came after them was never looked at."""
        self._last_taken = last
        self._over = goaway.abrupt
        debug = b'{"reason":"%s"}' % goaway.reason.encode() if goaway.reason else b""
        self._out.append(frames.goaway(last, ERRORS["NO_ERROR"], debug))
        for stream in [stream for stream in self._incoming if stream > last]:
            del self._incoming[stream]

    def _owe(self, stream: int, body: bytes, *, ends: bool) -> None:
        window = self._stream_window + self._credit.pop(stream, 0)
        self._owed[stream] = _Owed(memoryview(body), window, ends=ends)
        self._pay(stream)

    def _pay(self, stream: int) -> None:
        """Send as much of a body as both windows allow."""
        owed = self._owed[stream]
        while owed.body:
            size = min(len(owed.body), self._window, owed.window, MOST_FRAME)
            if size <= 0:
                return
            part, owed.body = owed.body[:size], owed.body[size:]
            self._window -= size
            owed.window -= size
            flags = frames.END_STREAM if owed.ends and not owed.body else 0
            self._out.append(frames.frame(frames.DATA, flags, stream, bytes(part)))
        del self._owed[stream]
        if not owed.ends:
            self._out.append(frames.reset(stream, ERRORS["INTERNAL_ERROR"]))

    def _widen(self, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise BreachError("FRAME_SIZE_ERROR", "a window update has four bytes")
        more = int.from_bytes(payload, "big") & _MOST_WINDOW
        if not more or (self._window + more > _MOST_WINDOW and not stream):
            raise BreachError("FLOW_CONTROL_ERROR", "a window cannot grow so")
        if not stream:
            self._window += more
        elif stream in self._owed:
            self._owed[stream].window += more
        elif stream in self._waiting or stream in self._incoming:
            self._credit[stream] = self._credit.get(stream, 0) + more
        for one in list(self._owed) if not stream else [stream] if stream in self._owed else []:
            self._pay(one)

    def _settle(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            if len(self._limits) > 1:
                del self._limits[0]
            return
        if len(payload) % 6:
            raise BreachError("FRAME_SIZE_ERROR", "a setting has six bytes")
        for name, value in frames.read_settings(payload):
            if name == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                for owed in self._owed.values():
                    owed.window += value - self._stream_window
                self._stream_window = value
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _forget(self, stream: int) -> None:
        self._incoming.pop(stream, None)
        self._owed.pop(stream, None)
        self._credit.pop(stream, None)
        self._waiting.discard(stream)

    def _end(self, code: str, text: str) -> None:
        self._out.append(frames.goaway(self._last, ERRORS[code], text.encode()))
        self._over = True


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & frames.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise BreachError("PROTOCOL_ERROR", "padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def _join(headers: dict[str, str], fields: _Fields) -> tuple[str, ...]:
    """Join the lines of headers that came more than once; return their names."""
    lines: dict[str, list[str]] = {}
    for name, value, _ in fields:
        lines.setdefault(_NAMES[name], []).append(value.decode("latin1"))
    repeated = tuple(name for name, values in lines.items() if len(values) > 1)
    headers.update({name: ", ".join(lines[name]) for name in repeated})
    return repeated
