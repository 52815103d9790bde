"""A device as the protocol's reference asks for one: it keeps a cursor, drops repeats, acknowledges and comes back."""

import asyncio
import json
import random
import socket
import time
from contextlib import suppress
from typing import Any, Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from delivery import positions
from tests.delivery.node.device import small_socket

Manner = Literal["plain", "forgetful", "mute", "tabs"]
"""It keeps a cursor and acknowledges; keeps none; never acknowledges; has two sockets with one token and one memory."""
LONGEST_PAUSE = 0.6
PING_EVERY = 4.0
SILENT_AFTER = 8.0
CERTAIN = positions.COMMIT_WINDOW + positions.CLOCK_SKEW
"""What was stamped so long before a socket was opened can only come by its replay, and then in order."""


class Device:
    """What it holds: entries by id with their run, and its cursor; and what was wrong with what it was sent."""

    def __init__(self, name: str, token: str, manner: Manner, urls: list[str]) -> None:
        self.name = name
        self.token = token
        self.manner = manner
        self.urls = urls
        self.held: dict[str, str] = {}
        self.cursor: str | None = None
        self.repeats = 0
        self.wrong: list[str] = []
        self.lines = [Line(self) for _ in range(2 if manner == "tabs" else 1)]

    def store(self, entries: list[dict[str, Any]], cursor: str) -> None:
        """Keep a frame's entries."""
        for entry in entries:
            if entry["id"] in self.held:
                self.repeats += 1
            else:
                self.held[entry["id"]] = entry["run"]
        if self.manner != "forgetful":
            self.cursor = cursor

    async def leave(self) -> None:
        """Close everything for good."""
        await asyncio.gather(*(line.leave() for line in self.lines))


class Line:
    """One of a device's sockets, opened again whenever it ends."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._sockets: set[ClientConnection] = set()
        self._deaf = False
        self._heard = 0.0
        self._old: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._live())
        self.greeted = asyncio.Event()

    def drop(self) -> None:
        """Lose the socket, or both while it moves, as in a tunnel."""
        self.greeted.clear()
        for opened in self._sockets:
            opened.transport.abort()

    def turn_deaf(self) -> None:
        """Read nothing any more on the next socket, and come to that at once."""
        self._deaf = True
        self.drop()

    def hear(self) -> None:
        """Read again, on a new socket."""
        self._deaf = False
        self.drop()

    def move(self, late: float) -> None:
        """Open another socket and close the old one so many seconds later than that."""
        old, self._task = self._task, asyncio.create_task(self._live())
        followed = asyncio.create_task(self._close_late(old, self._task, late))
        self._old.add(followed)
        followed.add_done_callback(self._old.discard)

    async def _close_late(self, old: "asyncio.Task[None]", new: "asyncio.Task[None]", late: float) -> None:
        self.greeted.clear()
        await self.greeted.wait()
        await asyncio.sleep(late)
        old.cancel()
        with suppress(asyncio.CancelledError):
            await old

    async def leave(self) -> None:
        """Close for good."""
        for task in [*self._old, self._task]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _live(self) -> None:
        while True:
            with suppress(OSError, InvalidHandshake, ConnectionClosed, TimeoutError, EOFError):
                await self._connect()
            await asyncio.sleep(random.uniform(0.0, LONGEST_PAUSE))

    async def _connect(self) -> None:
        device = self._device
        url = random.choice(device.urls)
        began = time.time()
        more: dict[str, Any] = {"sock": _deaf(url)} if self._deaf else {}
        async with connect(
            url,
            subprotocols=[Subprotocol("notifyhub.v1"), Subprotocol(f"notifyhub.auth.{device.token}")],
            compression=None,
            proxy=None,
            ping_interval=None,
            close_timeout=1,
            open_timeout=5,
            **more,
        ) as opened:
            self._sockets.add(opened)
            pings = asyncio.create_task(self._ping(opened))
            try:
                await self._talk(opened, began)
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code in (4401, 4403, 4409):
                    device.wrong.append(f"closed with {closed.rcvd.code}")
                raise
            finally:
                self._sockets.discard(opened)
                pings.cancel()

    async def _ping(self, opened: ClientConnection) -> None:
        """Give signs of life, and give the socket up when none comes back."""
        self._heard = time.monotonic()
        while not self._deaf and time.monotonic() - self._heard < SILENT_AFTER:
            with suppress(ConnectionClosed):
                await opened.send('{"type":"ping"}')
            await asyncio.sleep(PING_EVERY)
        if not self._deaf:
            opened.transport.abort()

    async def _talk(self, opened: ClientConnection, began: float) -> None:
        device = self._device
        await opened.send(json.dumps({"type": "resume", "cursor": device.cursor}))
        expected, highest = 1, positions.START
        certain = positions.floor(began - CERTAIN)
        while True:
            frame = json.loads(await opened.recv())
            self._heard = time.monotonic()
            match frame["type"]:
                case "hello":
                    self.greeted.set()
                    if not frame["recovered"]:
                        device.wrong.append("not recovered")
                    if self._deaf:
                        opened.transport.pause_reading()
                        await opened.wait_closed()
                case "entries":
                    if frame["seq"] != expected:
                        device.wrong.append(f"seq {frame['seq']} for {expected}")
                    expected = frame["seq"] + 1
                    for entry in frame["entries"]:
                        place = positions.decode(entry["position"])
                        # a repeat may come late: of a node that slept, what it was handed before
                        if place < certain and entry["id"] not in device.held:
                            if place < highest:
                                device.wrong.append(_out_of_order(entry["id"], place, highest, began))
                            highest = max(place, highest)
                    device.store(frame["entries"], frame["cursor"])
                    if device.manner != "mute":
                        await opened.send(f'{{"type":"ack","seq":{frame["seq"]}}}')
                case "resync" | "reconnect":
                    return
                case "error":
                    device.wrong.append(frame["problem"]["detail"])


def _out_of_order(identity: str, place: bytes, highest: bytes, began: float) -> str:
    first, later = (began - positions.stamp_of(one) for one in (place, highest))
    return (
        f"{identity}, stamped {first:.2f} s before the socket, came {time.time() - began:.2f} s after it "
        f"and behind one of {later:.2f} s"
    )


def _deaf(url: str) -> socket.socket:
    made = small_socket(url)
    made.setblocking(False)
    return made
