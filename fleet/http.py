"""The native HTTP server under all endpoints: HTTP/2 and TLS outside Python, one call a request inside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP2Settings
from granian.server.embed import Server

from fleet.tls import TlsFiles

# As Apple allows on one connection.
_STREAMS = 1000
JSON = ("content-type", "application/json; charset=UTF-8")


class Headers(Protocol):
    """The request's headers, by lower-case name."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def get_all(self, key: str) -> Any: ...


class Request(NamedTuple):
    """What an endpoint may look at; `query` is still encoded."""

    method: str
    path: str
    query: str
    headers: Headers | Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """An answer; with `wait` it goes out that many seconds later, with None never."""

    status: int
    body: bytes
    headers: list[tuple[str, str]]
    wait: float | None = 0.0


Handler = Callable[[Request], Awaitable[Reply]] | Callable[[Request], Reply]


def json_reply(status: int, content: Any, *headers: tuple[str, str], wait: float | None = 0.0) -> Reply:
    """Answer with JSON."""
    return Reply(status, msgspec.json.encode(content), [JSON, *headers], wait)


class PortError(OSError):
    """A port is taken."""


class Endpoint:
    """One listening address and its handler. Handlers of all endpoints run in the calling thread's loop."""

    def __init__(
        self, handler: Handler, *, port: int = 0, tls: TlsFiles | None = None, only_http2: bool = False
    ) -> None:
        self._handler = handler
        self._reserved = _reserve(port)
        self.port: int = self._reserved.getsockname()[1]
        self._tls = tls
        self._only_http2 = only_http2
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._server = self._make()

    def _make(self) -> Server:
        return Server(
            self._answer,
            address="127.0.0.1",
            port=self.port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http2 if self._only_http2 else HTTPModes.auto,
            websockets=False,
            backlog=1024,
            backpressure=100_000,
            http2_settings=HTTP2Settings(max_concurrent_streams=_STREAMS),
            log_enabled=False,
            ssl_cert=None if self._tls is None else self._tls.certificate,
            ssl_key=None if self._tls is None else self._tls.key,
            ssl_protocol_min=SSLProtocols.tls12,
        )

    async def start(self, *, within: float = 5.0) -> None:
        """Listen, and return once connections are taken. Raises `PortError` when they are not in time."""
        self._task = asyncio.create_task(self._server.serve())
        deadline = asyncio.get_running_loop().time() + within
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                if self._task.done() or asyncio.get_running_loop().time() > deadline:
                    raise PortError(f"127.0.0.1:{self.port} does not take connections: {error}") from error
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return

    async def stop(self, *, within: float = 1.0) -> None:
        """Stop listening; answers still owed are not waited for longer than `within` seconds."""
        await self._shut(within)
        self._reserved.close()

    async def refuse(self) -> None:
        """Close every connection and take no more: the port stays ours, and whoever knocks is refused."""
        if self._task is not None:
            self.cut()
            await self._shut(1.0)
            self._task = None

    async def welcome(self) -> None:
        """Take connections again after `refuse`."""
        if self._task is None:
            self._closing = asyncio.Event()
            self._server = self._make()
            await self.start()

    def cut(self) -> None:
        """Close every connection at once, whatever is under way on it; the native server has no call for it."""
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as one:
                if one.family == socket.AF_INET and one.getsockname()[1] == self.port and one.getpeername():
                    one.shutdown(socket.SHUT_RDWR)

    async def _shut(self, within: float) -> None:
        self._closing.set()
        self._server.stop()  # type: ignore[no-untyped-call]
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, within)

    async def _answer(self, scope: Any, protocol: Any) -> None:
        body = await protocol()
        request = Request(scope.method, scope.path, scope.query_string, scope.headers, body)
        answer = self._handler(request)
        reply = answer if isinstance(answer, Reply) else await answer
        if reply.wait:
            await asyncio.sleep(reply.wait)
        elif reply.wait is None:
            await self._closing.wait()
        protocol.response_bytes(reply.status, reply.headers, reply.body)


def _reserve(port: int) -> socket.socket:
    """Bind a port without listening, so that it stays ours until the server shares it.

    Raises `PortError` for a busy port: sharing must not join another process that listens there.
    """
    if port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                text = f"port {port} on 127.0.0.1 is taken ({error.strerror}); choose another"
                raise PortError(text) from error
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", port))
    return reserved
