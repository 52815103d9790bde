"""One HTTP/1.1 connection of the fleet's server: a request at a time, answered in order. Source: RFC 9112."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Protocol

from fleet.http import Broken, Goaway, Reply, Request, Reset, broken_off, too_large

MOST_HEAD = 65_536
_END = b"\r\n\r\n"


class Host(Protocol):
    """Who owns a connection's transport and knows what to answer."""

    peer: str
    first: str
    most_body: int

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Close after what was written."""

    def handle(self, request: Request) -> Reply | Awaitable[Reply]: ...

    def delay(self, stream: int, reply: Reply) -> None:
        """Call `release` with these after `reply.wait` seconds."""


class _BadRequestError(Exception):
    """What came is no request, or too much of one; holds the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class _Head:
    """A request's first line and headers."""

    __slots__ = ("closes", "headers", "method", "repeated", "target")

    def __init__(self, text: str) -> None:
        line, _, rest = text.partition("\r\n")
        parts = line.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise _BadRequestError(broken_off("no HTTP/1.1 request"))
        self.method, self.target, version = parts
        self.headers: dict[str, str] = {}
        repeated = []
        for field in rest.split("\r\n") if rest else ():
            name, colon, value = field.partition(":")
            name, value = name.lower(), value.strip()
            if not colon or not name or name != name.strip():
                raise _BadRequestError(broken_off(f"no header: {field[:80]}"))
            if name in self.headers:
                repeated.append(name)
                value = f"{self.headers[name]}, {value}"
            self.headers[name] = value
        self.repeated = tuple(repeated)
        wish = self.headers.get("connection", "").lower()
        self.closes = "close" in wish or (version == "HTTP/1.0" and "keep-alive" not in wish)


class Http1:
    """Reads requests from bytes and writes answers; the next one is read when the last is answered."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._busy = False
        self._task: asyncio.Task[None] | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes from the client and answer what is complete."""
        self._buffer += data
        try:
            while not self._busy and self._step():
                pass
        except _BadRequestError as error:
            self._busy = True
            self._head = None
            self._write(error.reply, closes=True)

    def release(self, stream: int, reply: Reply) -> None:
        """Give an answer whose time has come, and go on."""
        self._write(reply, closes=self._head is not None and self._head.closes)
        self._busy, self._head = False, None
        self.receive(b"")

    def flush(self) -> None:
        """Answers are written at once."""

    def _step(self) -> bool:
        """Take one request if it is complete; return whether there may be another."""
        if self._head is None:
            end = self._buffer.find(_END)
            if end < 0:
                if len(self._buffer) > MOST_HEAD:
                    raise _BadRequestError(Reply(431, b"", []))
                return False
            self._head = _Head(self._buffer[:end].decode("latin-1"))
            del self._buffer[: end + len(_END)]
            if self._head.headers.get("expect", "").lower() == "100-continue":
                self._host.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._body(self._head.headers)
        if body is None:
            return False
        self._ask(self._head, body)
        return not self._busy

    def _body(self, headers: dict[str, str]) -> bytes | None:
        """Return the body once it is there, and take it from the buffer."""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise _BadRequestError(broken_off("content-length must be a number"))
        size = int(length)
        if size > self._host.most_body:
            raise _BadRequestError(too_large(self._host.most_body))
        if len(self._buffer) < size:
            return None
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return body

    def _chunks(self) -> bytes | None:
        at, parts, total = 0, [], 0
        while True:
            end = self._buffer.find(b"\r\n", at)
            if end < 0:
                return None
            try:
                size = int(self._buffer[at:end].split(b";")[0], 16)
            except ValueError as error:
                raise _BadRequestError(broken_off("no chunk")) from error
            total += size
            if size < 0 or total > self._host.most_body:
                raise _BadRequestError(too_large(self._host.most_body))
            at = end + 2
            if len(self._buffer) < at + size + 2:
                return None
            parts.append(bytes(self._buffer[at : at + size]))
            at += size + 2
            if not size:
                del self._buffer[:at]
                return b"".join(parts)

    def _ask(self, head: _Head, body: bytes) -> None:
        path, _, query = head.target.partition("?")
        host = self._host
        answer = host.handle(
            Request(head.method, path, query, head.headers, body, head.repeated, host.peer, host.first)
        )
        if not isinstance(answer, Reply):
            self._busy = True
            self._task = asyncio.ensure_future(self._await(answer))
        elif answer.wait == 0.0:
            self._write(answer, closes=head.closes)
            self._head = None
        else:
            self._busy = True
            if answer.wait is not None:
                host.delay(0, answer)

    async def _await(self, answer: Awaitable[Reply]) -> None:
        self.release(0, await answer)

    def _write(self, reply: Reply, *, closes: bool) -> None:
        mishap = reply.mishap
        if isinstance(mishap, Reset) or (isinstance(mishap, Goaway) and mishap.abrupt):
            self._host.close()
            return
        body = reply.body
        lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        if closes or mishap is not None:
            lines.append("connection: close")
        if isinstance(mishap, Broken):
            body = body[: mishap.after]
        self._host.write("\r\n".join(lines).encode("latin-1") + _END + body)
        if closes or mishap is not None:
            self._host.close()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
