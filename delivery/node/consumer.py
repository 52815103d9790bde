"""The Channels consumer of `/ws/v1/`: what a device says on its WebSocket, and when the socket has to end."""

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from delivery.node import frames, lookups, tickets
from delivery.node.connection import WAITING_LIMIT
from delivery.node.session import Session
from delivery.node.table import node
from delivery.node.wire import Wire, refuse, wire_of
from devices import addresses, tokens

log = structlog.get_logger(__name__)

AUTH_SECONDS = 5.0
SILENT_SECONDS = 55.0
"""A device pings every 25 s; one that has said nothing for this long is gone."""
LIFETIME_SHARE = 1 / 6
"""A socket is asked to make room for a new one after `settings.SOCKET_SECONDS`, give or take this share of them."""
MOVING_SECONDS = 30.0
"""Within this a socket that was asked to is followed by its new one; drawn for each."""
GRACE_SECONDS = 60.0
"""So much later it is closed."""
SAID_AT_ONCE = 200
SAID_PER_SECOND = 20.0
"""Frames a device may send: a bucket of so many, and so many back a second."""


class DeviceConsumer(AsyncWebsocketConsumer):
    """One device's WebSocket. Cookies are never read; it joins no Channels group.

    Instants are in monotonic seconds: `until` is when its token must have come, then the end of its
    lifetime, and when it was `asked` to move, the end of the grace it has for that.
    """

    wire: Wire
    identity: tokens.Identity | None = None
    session: Session | None = None
    authenticating = False
    asked = False
    ended = False
    said = 0.0
    shown_at = 0.0
    heard: float
    until: float
    expires: float

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Take the socket's messages one after another, if there is room for it.

        Not the base class's loop: that one makes a channel per socket in the layer and closes old
        database connections, in a thread, on every message.
        """
        self.scope, self.base_send, self.channel_layer = scope, send, None
        here = node()
        address = addresses.of_scope(scope)
        await receive()  # its coming
        refusal = here.admission.ask(address)
        if refusal is not None:
            headers = {"Retry-After": str(refusal.retry_after), "Content-Length": "0"}
            await refuse(scope, send, status=503, reason="Service Unavailable", headers=headers)
            return
        self.heard = time.monotonic()
        self.until = self.heard + AUTH_SECONDS
        here.start()
        try:
            await self._open()
            try:
                while (message := await receive())["type"] == "websocket.receive":
                    await self._heard(message.get("text"))
            finally:
                self.wire.listen(None)
        finally:
            self.ended = True
            here.lines.leave(self)
            here.admission.gone(address, opened=self.identity is not None)
            if self.session is not None:
                self.session.end()
                self.session = None  # it holds this consumer

    async def _open(self) -> None:
        offered = self.scope.get("subprotocols", [])
        shown = [name[len(frames.AUTH_PREFIX) :] for name in offered if name.startswith(frames.AUTH_PREFIX)]
        await self.accept(subprotocol=frames.PROTOCOL if frames.PROTOCOL in offered else None)
        self.wire = wire_of(self.base_send)
        self.wire.listen(self._taken)
        node().lines.enter(self, self.until)
        ticket = tickets.of_query(self.scope.get("query_string", b""))
        if shown or ticket:
            await self._authenticate(shown[0] if shown else "", ticket)

    async def _authenticate(self, token: str, ticket: str = "") -> None:
        """Believe a token, or the one that a ticket stands for, or close the socket."""
        self.authenticating = True
        self.shown_at = time.monotonic()
        try:
            if not token:
                token = await tickets.token_of(ticket)
            identity = await lookups.identify((token, self._origin()))
        except tokens.TokenError as error:
            self.wire.write(frames.error("The token was refused.", str(error)))
            return self.end(frames.TOKEN_REFUSED)
        except lookups.OriginError as error:
            self.wire.write(frames.error("The origin was refused.", str(error)))
            return self.end(frames.ORIGIN_REFUSED)
        except Exception as error:
            log.error("node.not_identified", error=repr(error))
            return self.end(frames.FAILED)
        finally:
            self.authenticating = False
        if self.ended:
            return
        self.identity = identity
        node().admission.opened()
        now = time.monotonic()
        self.expires = now + identity.expires_at - time.time()
        spread = 1 + random.uniform(-LIFETIME_SHARE, LIFETIME_SHARE)
        self.until = now + settings.SOCKET_SECONDS * spread
        node().lines.enter(self, self._next())

    def _origin(self) -> str:
        for name, value in self.scope.get("headers", ()):
            if name == b"origin":
                return str(value.decode("latin-1"))
        return ""

    # -- its end

    def look(self, now: float) -> float | None:
        """Close the socket that shows no token, falls silent, outlives its token or its lifetime."""
        if self.ended:
            return None
        if self.identity is None:
            if self.authenticating:
                return now + AUTH_SECONDS
            self.end(frames.TOKEN_REFUSED)
        elif now >= self.expires:
            self.end(frames.TOKEN_REFUSED)
        elif now - self.heard > SILENT_SECONDS:
            self.end(frames.SILENT)
        elif now >= self.until and self.asked:
            self.end(frames.MOVE)
        elif now >= self.until:
            self.move(MOVING_SECONDS)
        return None if self.ended else self._next()

    def _next(self) -> float:
        return min(self.expires, self.heard + SILENT_SECONDS, self.until)

    def move(self, within: float) -> None:
        """Ask the device to open another socket within some seconds and to close this one then; see that it does."""
        if self.identity is None:
            return self.end(frames.MOVE)
        wait = random.uniform(0.0, within)
        self.asked = True
        self.until = time.monotonic() + wait + GRACE_SECONDS
        node().lines.enter(self, self._next())
        self.wire.write(frames.reconnect(int(wait * 1000)))

    def end(self, code: int) -> None:
        """Close the socket with a code."""
        if not self.ended:
            self.ended = True
            self.wire.close(code)

    # -- what the device says

    def _taken(self, payload: bytes) -> bool:
        """Answer a small frame before the server makes a message of it; return False for those that must wait."""
        try:
            return self._at_once(frames.read(payload))
        except msgspec.DecodeError:
            return False

    def _at_once(self, frame: frames.Inbound) -> bool:
        """Do what a frame asks if nothing has to be awaited for it; return whether that is so."""
        if isinstance(frame, frames.Ack) and self.session is not None:
            if self._counted():
                self.session.acknowledge(frame.seq, frame.ids)
            return True
        if isinstance(frame, frames.Ping):
            if self._counted():
                self._answer(frames.PONG)
            return True
        return False

    def _answer(self, payload: bytes) -> None:
        """Answer a frame; one that asks and does not read has answers enough waiting."""
        if self.wire.waiting <= WAITING_LIMIT:
            self.wire.write(payload)

    def _counted(self) -> bool:
        """Count a frame; return False when the device says too much, or has nothing to say any more."""
        if self.ended:
            return False
        now = time.monotonic()
        self.said = max(0.0, self.said - (now - self.heard) * SAID_PER_SECOND) + 1.0
        self.heard = now
        if self.said > SAID_AT_ONCE:
            self.end(frames.TOO_MANY)
            return False
        return True

    async def _heard(self, text: str | None) -> None:
        if text is None or len(text) > frames.INBOUND_LIMIT:
            return self.end(frames.TOO_BIG)
        try:
            frame = frames.read(text)
        except msgspec.DecodeError as error:
            if self._counted():
                self._answer(frames.error("This frame was not understood.", str(error)))
            return
        if self._at_once(frame) or not self._counted():
            return
        if isinstance(frame, frames.Auth) and self.identity is None:
            await self._authenticate(frame.token)
        if self.identity is None:
            if not self.ended:
                self._answer(
                    frames.error("Authenticate first.", "Send an auth frame with a subscriber token.")
                )
            return
        match frame:
            case frames.Resume(cursor=cursor) | frames.Auth(cursor=cursor):
                await self._resume(cursor)
            case frames.Receipt(ids=ids, kind=kind) if self.session is not None:
                await self.session.receipt(ids, kind)

    async def _resume(self, cursor: str | None) -> None:
        if self.session is not None or self.identity is None:
            return
        self.session = Session(self.identity, self.wire, node=node(), close=self.end)
        try:
            await self.session.begin(cursor)
        except Exception as error:
            log.error("node.not_resumed", error=repr(error))
            self.end(frames.FAILED)

    def __hash__(self) -> int:
        return id(self)
