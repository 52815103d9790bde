"""The fast lane: writes text frames to one device's socket, past most of what an ASGI server does for each.

Three ways to the same bytes in the same order; `wire_of` chooses the fastest that is possible.

    DaphneWire    Daphne without TLS. When nothing waits in Twisted's buffer, `socket.send` at once; what the socket
                  does not take, and everything while something waits, goes to `transport.write`. Twisted alone
                  would put each write off to the reactor's next turn, and Autobahn formats two debug lines for each.
    UvicornWire   uvicorn: `transport.write`, which tries the socket at once.
    AsgiWire      any other server, TLS inside the server, middleware around `send`: `await send`, by one task.

None of them waits for the device. `waiting` says how many bytes it has not taken yet, and the caller gives it up when
that is too many: a reader that stalls would make the process grow by all that is sent to it. (Daphne's own `send` hides
what waits: where Daphne is reached by `await send` alone, nothing bounds it, so TLS ends at the proxy.)

What is touched of others' insides (the test of this module names the releases it was read in, and fails on any other):
Daphne's `send`, a `partial` of `Server.handle_reply` and the protocol, its `last_ping` and `handshake_deferred`;
Autobahn's `state`, `data`, `current_frame`, `inside_message`, `_perMessageCompress`, `sendCloseFrame`, `failHandshake`
and `dataReceived`; of Twisted's `tcp.Server` `socket`, `TLS`, `dataBuffer`, `offset`, `_tempDataBuffer` and
`_tempDataLen`; uvicorn's `send`, a method of the protocol, and that one's `transport` and `close_sent`.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

Send = Callable[[dict[str, Any]], Awaitable[None]]
Take = Callable[[bytes], bool]
"""Takes a text frame's payload; returns False to have the server hand it over in its own way."""

PRIVATE = 3_000
"""Close codes from here on are an application's own (RFC 6455 section 7.4.2)."""
CLOSED_FOR_NOW = 4_500
"""Takes the place of a registered code where that cannot be written."""
CLOSE_SECONDS = 5.0
"""After this a device that has not taken its close is dropped; Autobahn drops it after one."""
OPEN = 3
"""Autobahn's `WebSocketProtocol.STATE_OPEN`."""


def frame(payload: bytes) -> bytes:
    """Return a text frame of one payload as a server writes it (RFC 6455 section 5.2: final, not masked)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


class Wire(Protocol):
    """A device's end of the line. After a close, or when the device is gone, writes go nowhere, silently."""

    def write(self, payload: bytes) -> None:
        """Write a text frame (UTF-8), after all that was written before."""
        ...

    @property
    def waiting(self) -> int:
        """How many bytes the device's system has not taken yet."""
        ...

    def listen(self, take: Take | None) -> None:
        """Offer small text frames to `take` before the server wraps them, where that is possible; None: no more."""
        ...

    def close(self, code: int) -> None:
        """Close with a code, behind all that was written before.

        A device that does not take it is dropped with what waits for it, where that is possible.
        """
        ...


class DaphneWire:
    """Daphne's protocol object, over a plain TCP transport of Twisted's."""

    __slots__ = ("_protocol", "_take", "_transport")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._take: Take | None = None

    def write(self, payload: bytes) -> None:
        transport = self._transport
        if self._protocol.state != OPEN or transport.disconnected:
            return
        data = frame(payload)
        if transport.dataBuffer or transport._tempDataBuffer:
            transport.write(data)
            return
        try:
            sent = transport.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reactor reads the same error and ends the connection
        if sent < len(data):
            transport.write(data[sent:])

    @property
    def waiting(self) -> int:
        transport = self._transport
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)

    def listen(self, take: Take | None) -> None:
        self._take = take
        if take is not None:
            self._protocol.dataReceived = self._received
        else:
            # a ring of references less, which would keep a dead connection until Python looks for such
            self._protocol.__dict__.pop("dataReceived", None)

    def _received(self, data: bytes) -> None:
        """Hand over whole small masked text frames; give everything else to Autobahn."""
        protocol = self._protocol
        size = len(data)
        # one frame, final, text, masked, shorter than 126 bytes, and Autobahn in the middle of nothing
        if (
            6 < size < 132
            and data[0] == 0x81
            and data[1] == 0x80 | (size - 6)
            and protocol.state == OPEN
            and not protocol.data
            and protocol.current_frame is None
            and not protocol.inside_message
        ):
            length = size - 6
            mask = data[2:6] * ((length + 3) // 4)
            masked = int.from_bytes(data[6:], "big") ^ int.from_bytes(mask[:length], "big")
            if self._take is not None and self._take(masked.to_bytes(length, "big")):
                protocol.last_ping = time.time()
                return
        type(protocol).dataReceived(protocol, data)

    def close(self, code: int) -> None:
        # not `sendClose`, which refuses the registered codes (1012, 1013) that a server is meant to use
        if self._protocol.state == OPEN:
            self._protocol.sendCloseFrame(code=code)


class UvicornWire:
    """uvicorn's protocol object, over a transport of asyncio's or uvloop's."""

    __slots__ = ("_closing", "_protocol", "_transport")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._closing: asyncio.Task[None] | None = None

    def write(self, payload: bytes) -> None:
        if self._closing is None and not self._protocol.close_sent and not self._transport.is_closing():
            self._transport.write(frame(payload))

    @property
    def waiting(self) -> int:
        return int(self._transport.get_write_buffer_size())

    def listen(self, take: Take | None) -> None:
        """Do nothing: the loop has bound the protocol's reader already."""

    def close(self, code: int) -> None:
        if self._closing is None:
            loop = asyncio.get_running_loop()
            self._closing = loop.create_task(_close(self._protocol.send, code))
            # its `send` waits for a device that does not read, and its own end for what waits; Autobahn drops such
            loop.call_later(CLOSE_SECONDS, self._transport.abort)


class AsgiWire:
    """The ASGI `send` alone: a task of its own awaits it, so that no device keeps the others waiting."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._code: int | None = None
        self._task: asyncio.Task[None] | None = None

    def write(self, payload: bytes) -> None:
        if self._code is None:
            self._queue.append(payload)
            self._bytes += len(payload)
            self._wake()

    def close(self, code: int) -> None:
        if self._code is None:
            self._code = code
            self._wake()
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._drop)

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._pump())

    async def _pump(self) -> None:
        try:
            while self._queue:
                await self._send({"type": "websocket.send", "text": self._queue[0].decode()})
                self._bytes -= len(self._queue.popleft())
        except Exception:  # a server raises what it likes when the device is gone
            self._queue.clear()
            self._bytes = 0
        if self._code is not None:
            # Autobahn refuses registered codes of an application
            await _close(self._send, self._code if self._code >= PRIVATE else CLOSED_FOR_NOW)

    @property
    def waiting(self) -> int:
        return self._bytes

    def listen(self, take: Take | None) -> None:
        """Do nothing: everything comes through `receive`."""

    def _drop(self) -> None:
        self._queue.clear()
        self._bytes = 0
        if self._task is not None:
            self._task.cancel()


async def _close(send: Send, code: int) -> None:
    with suppress(Exception):  # the device is gone already
        await send({"type": "websocket.close", "code": code})


def wire_of(send: Send) -> Wire:
    """Return the fastest way to write behind the `send` of an accepted WebSocket."""
    return _daphne(send) or _uvicorn(send) or AsgiWire(send)


class HttpWay:
    """What waits behind the `send` of an HTTP response, and how to drop it: as far as the server shows it."""

    def __init__(self, send: Any) -> None:
        request = _daphne_partner(send)
        self._twisted = request.channel.transport if request is not None else None
        # uvicorn's `send` waits by itself when its transport is full
        self._asyncio = getattr(getattr(send, "__self__", None), "transport", None)

    @property
    def waiting(self) -> int:
        transport = self._twisted
        if transport is None or not hasattr(transport, "_tempDataLen"):
            return 0
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)

    def abort(self) -> None:
        if self._twisted is not None and self._twisted.connected:
            self._twisted.abortConnection()
        elif self._asyncio is not None:
            self._asyncio.abort()


async def refuse(
    scope: dict[str, Any], send: Send, *, status: int, reason: str, headers: dict[str, str]
) -> None:
    """Answer a WebSocket's handshake with an HTTP status, and 403 where the server knows no other.

    Daphne's own refusal is always 403; Autobahn's, which it stands on, can say more.
    """
    protocol = _daphne_protocol(send)
    if protocol is not None:
        protocol.failHandshake(reason, status, list(headers.items()))
        del protocol.handshake_deferred
        protocol.server.protocol_disconnected(protocol)
    elif "websocket.http.response" in scope.get("extensions", {}):
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "websocket.http.response.start", "status": status, "headers": encoded})
        await send({"type": "websocket.http.response.body", "body": reason.encode()})
    else:
        await send({"type": "websocket.close"})


def _daphne_partner(send: Any) -> Any:
    """Return what Daphne's `send` speaks to: its protocol for a WebSocket, its request for HTTP."""
    server = sys.modules.get("daphne.server")
    if server is None or not isinstance(send, partial) or len(send.args) != 1:
        return None
    return send.args[0] if getattr(send.func, "__func__", None) is server.Server.handle_reply else None


def _daphne_protocol(send: Any) -> Any:
    protocol = _daphne_partner(send)
    return protocol if hasattr(protocol, "sendCloseFrame") else None


def _daphne(send: Any) -> DaphneWire | None:
    protocol = _daphne_protocol(send)
    if protocol is None:
        return None
    from twisted.internet import tcp  # Daphne has imported it

    plain = type(protocol.transport) is tcp.Server and not protocol.transport.TLS
    return DaphneWire(protocol) if plain and protocol._perMessageCompress is None else None


def _uvicorn(send: Any) -> UvicornWire | None:
    sansio = sys.modules.get("uvicorn.protocols.websockets.websockets_sansio_impl")
    if sansio is None:
        return None
    protocol = getattr(send, "__self__", None)
    if type(protocol) is not sansio.WebSocketsSansIOProtocol:
        return None
    return UvicornWire(protocol) if getattr(send, "__name__", "") == "send" else None
