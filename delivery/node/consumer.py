"""The Channels consumer of `/ws/v1/`: authenticate, register presence, replay from the cursor, then live."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from delivery import positions, reading, receipts
from delivery.log import body as bodies
from delivery.node import frames
from delivery.node.acknowledgements import Acknowledgements
from delivery.node.connection import Connection
from delivery.node.database import blocking
from delivery.node.table import node
from delivery.node.wire import Wire, wire_of
from devices import tokens
from devices.models import Application, Device

log = structlog.get_logger(__name__)

AUTH_SECONDS = 5.0
SILENT_SECONDS = 75.0
"""A device pings every 25 s; one that has said nothing for this long is gone."""
REPLAY_ENTRIES = 100
ACK_SECONDS = 30.0
"""How long a replay waits for the acknowledgement of one page before it sends the next."""

_acknowledgements = Acknowledgements()


class DeviceConsumer(AsyncWebsocketConsumer):
    """One device's WebSocket. Cookies are never read; it joins no Channels group."""

    connection: Connection | None = None
    wire: Wire
    identity: tokens.Identity | None = None

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Take the socket's messages one after another.

        Not the base class's loop: that one makes a channel per socket in the layer and closes old
        database connections, in a thread, on every message.
        """
        self.scope, self.base_send, self.channel_layer = scope, send, None
        self.heard = time.monotonic()
        self.authenticating = self.resumed = self.ended = False
        self.acknowledged = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.connect":
                    await self._opened()
                elif message["type"] == "websocket.receive":
                    self.heard = time.monotonic()
                    await self._heard(message.get("text"))
                else:
                    return
        finally:
            self.ended = True
            for task in self.tasks:
                task.cancel()
            if self.connection is not None:
                node().remove(self.connection)

    # -- opening

    async def _opened(self) -> None:
        node().start()
        offered = self.scope.get("subprotocols", [])
        token = next(
            (name[len(frames.AUTH_PREFIX) :] for name in offered if name.startswith(frames.AUTH_PREFIX)), ""
        )
        await self.accept(subprotocol=frames.PROTOCOL if frames.PROTOCOL in offered else None)
        self.wire = wire_of(self.base_send)
        self.wire.listen(self._taken)
        if not token or await self._authenticate(token):
            self._later(self._watch())

    async def _watch(self) -> None:
        """Close the socket that does not authenticate in time, goes silent, or outlives its token."""
        if self.identity is None:
            await asyncio.sleep(AUTH_SECONDS)
        while True:
            if self.identity is None:
                if not self.authenticating:
                    return self._close(frames.TOKEN_REFUSED)
                await asyncio.sleep(AUTH_SECONDS)
                continue
            silent = time.monotonic() - self.heard
            left = self.identity.expires_at - time.time()
            if left <= 0:
                return self._close(frames.TOKEN_REFUSED)
            if silent > SILENT_SECONDS:
                return self._close(frames.SILENT)
            await asyncio.sleep(max(0.05, min(SILENT_SECONDS - silent, left, SILENT_SECONDS)))

    async def _authenticate(self, token: str) -> bool:
        self.authenticating = True
        try:
            self.identity = await _identify(token, self._origin())
        except tokens.TokenError as error:
            self.wire.write(frames.error("The token was refused.", str(error)))
            self._close(frames.TOKEN_REFUSED)
            return False
        except OriginError as error:
            self.wire.write(frames.error("The origin was refused.", str(error)))
            self._close(frames.ORIGIN_REFUSED)
            return False
        finally:
            self.authenticating = False
        return True

    def _origin(self) -> str:
        for name, value in self.scope.get("headers", ()):
            if name == b"origin":
                return str(value.decode("latin-1"))
        return ""

    # -- what the device says

    async def _heard(self, text: str | None) -> None:
        if text is None or len(text) > frames.INBOUND_LIMIT:
            self._close(frames.TOO_BIG)
            return
        try:
            frame = frames.read(text)
        except msgspec.DecodeError as error:
            self.wire.write(frames.error("This frame was not understood.", str(error)))
            return
        if self._at_once(frame):
            return
        if isinstance(frame, frames.Auth):
            if self.identity is None and not await self._authenticate(frame.token):
                return
            await self._resume(frame.cursor)
            return
        if self.identity is None:
            self.wire.write(
                frames.error("Authenticate first.", "Send an auth frame with a subscriber token.")
            )
            return
        match frame:
            case frames.Resume(cursor=cursor):
                await self._resume(cursor)
            case frames.Receipt(ids=ids, kind=kind):
                await self._receipt(ids, kind)

    def _taken(self, payload: bytes) -> bool:
        """Answer a small frame before the server makes a message of it; return False for those that must wait."""
        try:
            done = self._at_once(frames.read(payload))
        except msgspec.DecodeError:
            return False
        if done:
            self.heard = time.monotonic()
        return done

    def _at_once(self, frame: frames.Inbound) -> bool:
        """Do what a frame asks if nothing has to be awaited for it; return whether that is so."""
        if isinstance(frame, frames.Ack) and self.connection is not None:
            self._acknowledged(self.connection, frame.seq, frame.ids)
            return True
        if isinstance(frame, frames.Ping):
            self.wire.write(frames.PONG)
            return True
        return False

    async def _resume(self, cursor: str | None) -> None:
        assert self.identity is not None
        if self.resumed:
            return
        self.resumed = True
        identity = self.identity
        try:
            after = positions.decode(cursor) if cursor else None
        except positions.CursorError as error:
            self.wire.write(frames.error("The cursor was not understood.", str(error)))
            after = None
        connection = self.connection = Connection(
            device=identity.device_uid.bytes,
            subscriber=identity.subscriber_uid,
            application=str(identity.application_uid),
            platform=identity.platform,
            issued_at=identity.issued_at,
            wire=self.wire,
            catch_up=self._catch_up,
        )
        # presence first, then the log: an entry that is written in between arrives live
        await node().add(self.connection)
        start = after if after is not None else await _durable_cursor(identity.device_uid)
        connection.safe = start
        self.wire.write(
            frames.hello(
                device=str(identity.device_uid),
                node=node().name,
                cursor=positions.encode(start),
                recovered=reading.reaches_back(start),
            )
        )
        self._later(self._replay(start))

    def _catch_up(self) -> None:
        """Read the log once more: this node or Redis was away, and entries may have passed by."""
        if self.connection is not None and not self.ended and self.connection.read_again():
            self._later(self._replay(self.connection.safe))

    async def _replay(self, after: bytes) -> None:
        """Write what the log holds behind a position, page by page, then let live entries through."""
        connection, identity = self.connection, self.identity
        assert connection is not None and identity is not None
        while True:
            while True:
                self.acknowledged.clear()
                found = await _read(identity.subscriber_uid, connection.platform, after)
                pieces = [
                    (UUID(entry.id).bytes, place, bodies.to_json(entry))
                    for entry, place in zip(found.entries, found.places, strict=True)
                ]
                if pieces:
                    connection.write(pieces)
                after = found.last
                if not found.more:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(ACK_SECONDS):
                        while not connection.settled:
                            await self.acknowledged.wait()
                            self.acknowledged.clear()
            if connection.go_live():
                return
            after = connection.safe

    def _acknowledged(self, connection: Connection, seq: int | None, ids: list[str]) -> None:
        covered, mark = connection.acknowledge(seq) if seq is not None else ([], None)
        if ids:
            covered += _uuids(ids[: receipts.MOST_IDS])
        if covered:
            assert self.identity is not None
            _acknowledgements.add(
                subscriber=connection.subscriber, device=self.identity.device_uid, ids=covered, mark=mark
            )
        self.acknowledged.set()

    async def _receipt(self, ids: list[str], kind: str) -> None:
        assert self.identity is not None
        try:
            await _record(
                self.identity.subscriber_uid,
                self.identity.device_uid,
                [UUID(bytes=item) for item in _uuids(ids)],
                kind,
            )
        except receipts.ReceiptError as error:
            self.wire.write(frames.error("The receipt was refused.", str(error)))

    def _close(self, code: int) -> None:
        if not self.ended:
            self.ended = True
            self.wire.close(code)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("node.connection_failed", error=repr(error))
            self._close(frames.FAILED)


class OriginError(Exception):
    """A browser's page that this application does not serve."""


def _uuids(ids: list[str]) -> list[bytes]:
    """Return the ids that are UUIDs, as 16 bytes."""
    found = []
    for text in ids:
        with suppress(ValueError, AttributeError, TypeError):
            found.append(UUID(text).bytes)
    return found


@blocking
def _identify(token: str, origin: str) -> tokens.Identity:
    identity = tokens.verify(token)
    if identity.device_id is None:
        raise tokens.TokenError(
            f"Device {identity.device_uid} is not registered: PUT /api/v1/devices/ first."
        )
    if origin:
        origins = Application.objects.values_list("origins", flat=True).get(pk=identity.application_id)
        if origins and origin not in origins:
            raise OriginError(f"{origin} is not among the application's origins.")
    return identity


@blocking
def _durable_cursor(device: UUID) -> bytes:
    """Return where a device that keeps no cursor goes on: behind what it acknowledged, else from its registration."""
    acknowledged, registered_at = Device.objects.values_list("acknowledged", "registered_at").get(uid=device)
    if acknowledged:
        return positions.decode(acknowledged)
    return positions.floor(registered_at.timestamp() - positions.COMMIT_WINDOW)


@blocking
def _read(subscriber: UUID, platform: str, after: bytes) -> reading.Reading:
    return reading.read(subscriber, platform=platform, after=after, limit=REPLAY_ENTRIES)


@blocking
def _record(subscriber: UUID, device: UUID, ids: list[UUID], kind: str) -> None:
    receipts.record(subscriber, device, ids, kind)
