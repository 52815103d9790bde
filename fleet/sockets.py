"""Devices that hold a WebSocket to the hub: they resume, store, acknowledge, drop repeats and come back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from fleet.world import World

PROTOCOL = "notifyhub.v1"
_AUTH = "notifyhub.auth."
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_AT_A_TIME = 200
_PING_SECONDS = 25
# The server's word that another connection took this device's place, or that its token is no good.
_NEVER_RETURN = frozenset({4401, 4403, 4409})

Manner = Literal["normal", "no_ack", "no_read", "dead"]
"""How a device behaves: it stores without acknowledging, reads nothing after its hello, or says and reads nothing."""
State = Literal["connecting", "open", "hello", "waiting", "refused", "closed"]


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subscriber token and the name of the device that holds it."""

    token: str
    device: str


class _Entry(msgspec.Struct, gc=False):
    id: str
    kind: str = "notification"
    run: str = ""
    title: str = ""
    body: str = ""
    tag: str = ""


class _Frame(msgspec.Struct, gc=False):
    """Any frame of the server's; fields that a type does not have stay empty."""

    type: str
    seq: int | None = None
    cursor: str | None = None
    entries: list[_Entry] = []
    run: str = ""
    after_ms: float = 0


_decode = msgspec.json.Decoder(_Frame).decode


class SocketDevice:
    """One device with one connection; `cursor` is the server's bookmark after the last entries stored."""

    def __init__(
        self, world: World, *, url: str, pair: Pair, gate: asyncio.Semaphore, manner: Manner = "normal"
    ) -> None:
        self._world = world
        self._url = url
        self._token = pair.token
        self._gate = gate
        self._manner = manner
        self.number = world.devices.named("websocket", pair.device)
        self.state: State = "connecting"
        self.cursor: str | None = None
        self.hellos = 0
        self.bad_frames = 0
        self._failures = 0
        self._connection: ClientConnection | None = None
        self._task = asyncio.create_task(self._live())

    async def close(self, *, abruptly: bool = False) -> None:
        """Leave for good; abruptly means without a closing handshake."""
        connection = self._connection
        if abruptly:
            self.cut()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if connection is not None and not abruptly:
            await connection.close()
        self.state = "closed"

    def cut(self) -> None:
        """Lose the connection as in a tunnel; the device comes back by itself."""
        if self._connection is not None:
            self._connection.transport.abort()

    async def ping(self) -> None:
        """Say that it is still there, as a page does that must not rely on the protocol's own pings."""
        if self._connection is not None and self.state == "hello" and self._manner != "dead":
            with contextlib.suppress(ConnectionClosed):
                await self._connection.send('{"type":"ping"}')

    async def _live(self) -> None:
        while self.state not in ("refused", "closed"):
            wait = await self._connect_once()
            if wait is None:
                return
            self.state = "waiting"
            await asyncio.sleep(wait)

    async def _connect_once(self) -> float | None:
        """Hold one connection; return after how many seconds to come back, None for never."""
        self.state = "connecting"
        try:
            async with self._gate:
                connection = await connect(
                    self._url,
                    subprotocols=[Subprotocol(PROTOCOL), Subprotocol(_AUTH + self._token)],
                    compression=None,
                    proxy=None,
                    ping_interval=None,
                    close_timeout=1,
                    open_timeout=20,
                )
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                self.state = "refused"
                return None
            return self._backoff()
        except (OSError, InvalidHandshake, TimeoutError, ConnectionClosed, EOFError):
            return self._backoff()
        if connection.subprotocol != PROTOCOL:  # a browser fails such a connection too
            connection.transport.abort()
            self.state = "refused"
            return None
        self._connection = connection
        try:
            return await self._talk(connection)
        except msgspec.MsgspecError:
            self.bad_frames += 1
            return self._backoff()
        except ConnectionClosed:
            if connection.close_code in _NEVER_RETURN:
                self.state = "refused" if connection.close_code != 4409 else "closed"
                return None
            return self._backoff()
        finally:
            self._connection = None
            if not connection.close_code:
                connection.transport.abort()

    async def _talk(self, connection: ClientConnection) -> float:
        self.state = "open"
        await self._resume(connection)
        while True:
            frame = _decode(await connection.recv())
            match frame.type:
                case "entries":
                    self._store(frame)
                    if frame.seq is not None and self._manner == "normal":
                        await connection.send(f'{{"type":"ack","seq":{frame.seq}}}')
                case "hello":
                    self.state = "hello"
                    self.hellos += 1
                    self._failures = 0
                    if self._manner in ("no_read", "dead"):
                        await self._read_no_more(connection)
                case "recall":
                    self._world.record.take_down(self.number, frame.run)
                case "resync":
                    self.cursor = None
                    await self._resume(connection)
                case "reconnect":
                    await connection.close()
                    return frame.after_ms / 1000

    async def _read_no_more(self, connection: ClientConnection) -> None:
        """Leave in the socket whatever comes, until this device is closed or cut."""
        connection.transport.pause_reading()
        await connection.wait_closed()

    async def _resume(self, connection: ClientConnection) -> None:
        frame = {"type": "resume", "cursor": self.cursor}
        await connection.send(msgspec.json.encode(frame).decode())

    def _store(self, frame: _Frame) -> None:
        for entry in frame.entries:
            if entry.kind == "notification":
                self._world.record.accept(
                    "websocket",
                    self.number,
                    run=entry.run,
                    notification=entry.id,
                    identity=entry.tag or entry.id,
                    title=entry.title,
                    body=entry.body,
                )
        if frame.cursor is not None:
            self.cursor = frame.cursor

    def _backoff(self) -> float:
        """Full jitter: anything up to a bound that doubles, so that a node's devices do not return as one."""
        bound = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return random.uniform(0, bound)


class Sockets:
    """All socket devices of the fleet."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._devices: dict[int, SocketDevice] = {}
        self._gate = asyncio.Semaphore(_AT_A_TIME)
        self._beat: asyncio.Task[None] | None = None

    async def _beats(self) -> None:
        """Give every device's sign of life once in `_PING_SECONDS`, a share of them each second."""
        for second in itertools.count():
            await asyncio.sleep(1)
            for device in list(self._devices.values())[second % _PING_SECONDS :: _PING_SECONDS]:
                await device.ping()

    async def open(self, url: str, pairs: Iterable[Pair], *, manner: Manner = "normal") -> int:
        """Start a device for each pair; one that runs already gets a new connection. Returns how many."""
        started = 0
        if self._beat is None:
            self._beat = asyncio.create_task(self._beats())
        for pair in pairs:
            device = SocketDevice(self._world, url=url, pair=pair, gate=self._gate, manner=manner)
            former = self._devices.get(device.number)
            self._devices[device.number] = device
            if former is not None:
                device.cursor = former.cursor
                await former.close()
            started += 1
        return started

    async def close(self, count: int | None = None) -> int:
        """Close `count` devices abruptly, or all of them in order; return how many."""
        chosen = list(self._devices)[:count]
        devices = [self._devices.pop(number) for number in chosen]
        await asyncio.gather(*(device.close(abruptly=count is not None) for device in devices))
        return len(devices)

    def cut(self, count: int | None = None) -> int:
        """Cut `count` connections (None: all) that stand; their devices come back. Returns how many."""
        open_now = [device for device in self._devices.values() if device.state in ("open", "hello")]
        for device in open_now[:count]:
            device.cut()
        return len(open_now[:count])

    def report(self) -> dict[str, Any]:
        """Count devices by state; `open` holds those that have had their hello too."""
        states = Counter(device.state for device in self._devices.values())
        return {
            "total": len(self._devices),
            "open": states["open"] + states["hello"],
            "hello": states["hello"],
            "hellos": sum(device.hellos for device in self._devices.values()),
            "bad_frames": sum(device.bad_frames for device in self._devices.values()),
            "by_state": dict(states),
        }
