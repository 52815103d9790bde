"""One listening address of the fleet: TLS, connections of either HTTP, and what goes wrong below HTTP on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import socket
import ssl
from collections.abc import Callable
from typing import cast

from fleet.faults import Faults
from fleet.http import Handler, Reply, Request
from fleet.http1 import Http1
from fleet.http2 import Http2
from fleet.tls import TlsFiles

MOST_STREAMS = 1000
"""As Apple allows on one connection."""
_MOST_BODY = 1 << 20


class PortError(OSError):
    """A port is taken."""


class Endpoint:
    """One listening address and its handler. Handlers of all endpoints run in the calling thread's loop.

    With `proves` a connection without a client certificate has one stream until a request came of which it is true.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        port: int = 0,
        tls: TlsFiles | None = None,
        only_http2: bool = False,
        most_body: int = _MOST_BODY,
        proves: Callable[[Request], bool] | None = None,
    ) -> None:
        self.handler = handler
        self.proves = proves
        self.only_http2 = only_http2
        self.most_body = most_body
        self.most_streams = MOST_STREAMS
        self.slow_read = 0
        self.streams_at_once = False
        self.silent = False
        self.connections: set[Connection] = set()
        self._delays = _Delays()
        self._reserved = _reserve(port)
        self.port: int = self._reserved.getsockname()[1]
        self.tls = None if tls is None else _context(tls, only_http2=only_http2)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises `PortError` when the port cannot be had."""
        listening = socket.socket()
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(("127.0.0.1", self.port))
            make: Callable[[], asyncio.Protocol] = _Deaf if self.silent else lambda: Connection(self)
            context = None if self.silent else self.tls
            self._server = await asyncio.get_running_loop().create_server(
                make, sock=listening, ssl=context, backlog=1024
            )
        except OSError as error:
            listening.close()
            raise PortError(f"127.0.0.1:{self.port} does not take connections: {error}") from error

    async def stop(self) -> None:
        """Stop listening and close every connection, whatever is owed on it."""
        await self.refuse()
        self._reserved.close()

    async def refuse(self) -> None:
        """Close every connection and take no more: the port stays ours, and whoever knocks is refused."""
        self.cut()
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    async def welcome(self) -> None:
        """Take connections again after `refuse`."""
        if self._server is None:
            await self.start()

    async def suffer(self, faults: Faults) -> None:
        """Let what goes wrong below HTTP be as the faults say."""
        self.slow_read = faults.slow_read
        self.streams_at_once = faults.streams_at_once
        self.limit_streams(faults.most_streams or MOST_STREAMS)
        await self.fall_silent(faults.silent)
        await (self.refuse() if faults.refuse_connections else self.welcome())

    async def fall_silent(self, silent: bool) -> None:
        """Take connections and say nothing on them, nor on those that stand; or speak again."""
        if silent != self.silent:
            self.silent = silent
            if self._server is not None:
                self._server.close()
                await self.start()
            if not silent:
                self.cut()  # What was not read is lost, and with it the connection.

    def limit_streams(self, most: int) -> None:
        """Announce another SETTINGS_MAX_CONCURRENT_STREAMS, also on connections that stand."""
        if most != self.most_streams:
            self.most_streams = most
            for connection in list(self.connections):
                connection.announce()

    def cut(self) -> None:
        """Close every connection at once, whatever is under way on it."""
        for connection in list(self.connections):
            connection.cut()

    def delay(self, connection: Connection, stream: int, reply: Reply) -> None:
        """Give an answer `reply.wait` seconds from now."""
        self._delays.add(connection, stream, reply)


class Connection(asyncio.Protocol):
    """One connection: the transport on this side, HTTP/1.1 or HTTP/2 on the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.most_body = endpoint.most_body
        self.peer = self.first = ""
        self._is_proven = endpoint.proves is None
        self._talk: Http1 | Http2 | None = None

    @property
    def most_streams(self) -> int:
        """As many as are allowed now."""
        most = self._endpoint.most_streams
        return most if self._is_proven else min(1, most)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        chosen = tls.selected_alpn_protocol() if tls is not None else None
        if chosen != "h2" and self._endpoint.only_http2:
            self._transport.abort()
            return
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        self.peer = hashlib.sha256(shown).hexdigest() if shown else ""
        self._is_proven = self._is_proven or bool(shown) or self._endpoint.streams_at_once
        self._endpoint.connections.add(self)
        self._talk = Http2(self) if chosen == "h2" else Http1(self)  # type: ignore[arg-type]

    def connection_lost(self, error: Exception | None) -> None:
        self._endpoint.connections.discard(self)
        self._talk = None

    def data_received(self, data: bytes) -> None:
        endpoint = self._endpoint
        if self._talk is None or endpoint.silent:
            return
        self._talk.receive(data)
        if endpoint.slow_read and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(len(data) / endpoint.slow_read, self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client does not read: read no more of it either."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._read_on()

    def handle(self, request: Request) -> Reply:
        reply = cast(Reply, self._endpoint.handler(request))
        if not self._is_proven:
            self._look_at(request)
        return reply

    def _look_at(self, request: Request) -> None:
        """Allow more streams if a request shows that the client may have them."""
        proves = self._endpoint.proves
        if proves is not None and proves(request):
            self._is_proven, self.first = True, request.headers.get("authorization", "")
            if isinstance(self._talk, Http2):
                self._talk.announce(self.most_streams)

    def delay(self, stream: int, reply: Reply) -> None:
        self._endpoint.delay(self, stream, reply)

    def release(self, stream: int, reply: Reply) -> None:
        """Give an answer whose time has come."""
        if self._talk is not None and not self._endpoint.silent:
            self._talk.release(stream, reply)

    def flush(self) -> None:
        if self._talk is not None:
            self._talk.flush()

    def announce(self) -> None:
        if isinstance(self._talk, Http2):
            self._talk.announce(self.most_streams)
            self._talk.flush()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def cut(self) -> None:
        self._talk = None
        self._transport.abort()


class _Deaf(asyncio.Protocol):
    """A connection on which nobody answers, not even the TLS handshake."""


class _Delays:
    """Answers that wait, a millisecond's together: one timer for all that are due at once."""

    def __init__(self) -> None:
        self._due: dict[int, list[tuple[Connection, int, Reply]]] = {}

    def add(self, connection: Connection, stream: int, reply: Reply) -> None:
        loop = asyncio.get_running_loop()
        due = math.ceil((loop.time() + (reply.wait or 0.0)) * 1000)
        waiting = self._due.get(due)
        if waiting is None:
            waiting = self._due[due] = []
            loop.call_at(due / 1000, self._fire, due)
        waiting.append((connection, stream, reply))

    def _fire(self, due: int) -> None:
        touched = set()
        for connection, stream, reply in self._due.pop(due):
            connection.release(stream, reply)
            touched.add(connection)
        for connection in touched:
            connection.flush()


def _context(files: TlsFiles, *, only_http2: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"] if only_http2 else ["h2", "http/1.1"])
    return context


def _reserve(port: int) -> socket.socket:
    """Bind a port without listening, so that it stays ours also while connections are refused.

    Raises `PortError` for a busy port: sharing must not join another process that listens there.
    """
    if port:
        with contextlib.closing(socket.socket()) as probe:
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
