"""Many devices in a process of their own, told what to do by lines of JSON: they store, keep cursors and come back.

A process of its own, so that all of it can be stopped as a phone in a pocket is.
"""

import asyncio
import itertools
import json
import random
import sys
import threading
import time
import traceback
from collections import Counter
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from delivery import positions

PING_SECONDS, DEAD_SECONDS = 3.0, 9.0
WAIT_SECONDS = (0.1, 1.0)
LATE_CLOSE_SECONDS = (0.5, 4.0)
BEGINNING = positions.encode(positions.START)


class Relay:
    """A way to a node on which a fault may lie: what it forwards freezes, and nobody is told."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._kept: list[asyncio.StreamWriter] = []

    async def open(self) -> int:
        """Return the port it listens on."""
        self._server = await asyncio.start_server(self._pair, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def freeze(self) -> None:
        """Freeze everything that flows now; what comes later flows."""
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _pair(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flowing = self._flowing
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", random.choice(self._ports))
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._flow(reader, far_writer, flowing), self._flow(far_reader, writer, flowing))

    async def _flow(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while some := await reader.read(65_536):
                if not flowing.is_set():
                    self._kept.append(writer)  # neither end hears of the other again
                    return
                writer.write(some)
                await writer.drain()
        if flowing.is_set():
            writer.close()


class Member:
    """One device, or one tab of it."""

    def __init__(self, name: str, token: str, *, manner: str, ports: list[int]) -> None:
        self.name = name
        self.manner = manner
        self.cursor = BEGINNING
        self.held: set[str] = set()
        self.repeats = 0
        self.faults: list[str] = []
        self.codes: Counter[int | None] = Counter()
        self.greeted = False
        self._token = token
        self._ports = ports
        self._heard = 0.0
        self._open: ClientConnection | None = None
        self._reading = asyncio.Event()
        if manner != "no_read":
            self._reading.set()
        self._work = asyncio.create_task(self._live())
        self._late: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Lose the connection without a word."""
        if self._open is not None:
            self._open.transport.abort()

    def abandon(self) -> None:
        """Begin anew at once; the old connection is closed some seconds later."""
        old, self._open = self._open, None
        self._work.cancel()
        self._work = asyncio.create_task(self._live())
        if old is not None:
            self._leave_late(old)

    def read(self) -> None:
        """Read from now on."""
        self.manner = "normal"
        self._reading.set()

    def beat(self) -> None:
        """Say that it is still there; leave a connection on which nothing comes back."""
        if self._open is None or not self.greeted or not self._reading.is_set():
            return
        if time.monotonic() - self._heard > DEAD_SECONDS:
            self.abandon()
        else:
            self._say(type="ping")

    def _say(self, **frame: Any) -> None:
        # not awaited: a device that cannot write waits for nobody
        if self._open is not None:
            task = asyncio.ensure_future(_quietly(self._open.send(json.dumps(frame))))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    def _leave_late(self, old: ClientConnection) -> None:
        async def leave() -> None:
            await asyncio.sleep(random.uniform(*LATE_CLOSE_SECONDS))
            await old.close()

        task = asyncio.ensure_future(_quietly(leave()))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _live(self) -> None:
        while True:
            self.greeted = False
            try:
                await self._connected()
            except ConnectionClosed as closed:
                self.codes[closed.rcvd.code if closed.rcvd else None] += 1
            except (OSError, InvalidHandshake, TimeoutError, EOFError):
                self.codes[0] += 1
            finally:
                if self._open is not None:
                    self._open.transport.abort()
                    self._open = None
            await asyncio.sleep(random.uniform(*WAIT_SECONDS))

    async def _connected(self) -> None:
        offered = [Subprotocol("notifyhub.v1"), Subprotocol(f"notifyhub.auth.{self._token}")]
        self._open = connection = await connect(
            f"ws://127.0.0.1:{random.choice(self._ports)}/ws/v1/",
            subprotocols=offered,
            compression=None,
            proxy=None,
            ping_interval=None,
            close_timeout=1,
            open_timeout=10,
        )
        self._heard = time.monotonic()
        await connection.send(json.dumps({"type": "resume", "cursor": self.cursor}))
        expected = 1
        while True:
            async with asyncio.timeout(None if self.greeted else 20):
                frame = json.loads(await connection.recv())
            self._heard = time.monotonic()
            if frame["type"] == "hello":
                self.greeted = True
                await self._reading.wait()
            elif frame["type"] == "entries":
                if frame["seq"] != expected:
                    self.faults.append(f"{self.name}: seq {frame['seq']} instead of {expected}")
                expected = frame["seq"] + 1
                for entry in frame["entries"]:
                    self.repeats += entry["id"] in self.held
                    self.held.add(entry["id"])
                self.cursor = frame["cursor"]
                if self.manner != "no_ack":
                    self._say(type="ack", seq=frame["seq"])
            elif frame["type"] == "reconnect":
                return


async def _quietly(work: Any) -> None:
    with suppress(ConnectionClosed, OSError):
        await work


class Crowd:
    """Each method is a verb."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._beats: asyncio.Task[None] | None = None
        self._relay: Relay | None = None

    async def open(
        self, *, devices: list[dict[str, str]], manner: str, ports: list[int], relay: bool = False
    ) -> int:
        """Have devices connect to any of the ports; with `relay` on the way that can freeze."""
        if relay:
            self._relay = self._relay or Relay(ports)
            ports = [await self._relay.open()]
        for one in devices:
            self._members.append(Member(one["uid"], one["token"], manner=manner, ports=ports))
        if self._beats is None:
            self._beats = asyncio.create_task(self._beat())
        return len(self._members)

    async def _beat(self) -> None:
        for turn in itertools.count():
            await asyncio.sleep(PING_SECONDS / 10)
            for member in self._members[turn % 10 :: 10]:
                member.beat()

    async def cut(self, *, share: float) -> None:
        for member in self._some(share):
            member.cut()

    async def abandon(self, *, share: float) -> None:
        for member in self._some(share):
            if member.manner != "no_read":
                member.abandon()

    async def freeze(self) -> None:
        assert self._relay is not None
        self._relay.freeze()

    async def read(self) -> None:
        """Have everybody read from now on."""
        for member in self._members:
            member.read()

    async def greeted(self) -> int:
        """Return how many have had their hello."""
        return sum(member.greeted for member in self._members)

    async def missing(self, *, path: str) -> int:
        """Return how many entries of those in a file (ids by device) the members lack, all together."""
        return sum(len(wanted - member.held) for member, wanted in self._wanted(path))

    async def report(self, *, path: str) -> dict[str, Any]:
        """Return what is wrong with what members hold, how often entries came again, and what closed sockets."""
        faults = [fault for member in self._members for fault in member.faults]
        for member, wanted in self._wanted(path):
            if member.held != wanted:
                lost, strange = len(wanted - member.held), len(member.held - wanted)
                faults.append(
                    f"{member.name} ({member.manner}) lacks {lost} entries and has {strange} strange ones"
                )
        codes: Counter[str] = Counter()
        for member in self._members:
            codes.update({str(code): count for code, count in member.codes.items()})
        return {
            "faults": faults,
            "held": sum(len(member.held) for member in self._members),
            "repeats": sum(member.repeats for member in self._members),
            "codes": codes,
        }

    async def replay(self, *, devices: list[dict[str, str]], ports: list[int], path: str) -> list[str]:
        """Read each device's whole log once more; return what is wrong with its order or its entries."""
        with open(path) as file:
            wanted = json.load(file)
        turns = asyncio.Semaphore(20)

        async def one(device: dict[str, str]) -> str:
            async with turns:
                return await _replay(device, random.choice(ports), wanted[device["uid"]])

        return [fault for fault in await asyncio.gather(*map(one, devices)) if fault]

    def _wanted(self, path: str) -> list[tuple[Member, set[str]]]:
        with open(path) as file:
            wanted = {uid: set(ids) for uid, ids in json.load(file).items()}
        return [(member, wanted.get(member.name, set())) for member in self._members]

    def _some(self, share: float) -> list[Member]:
        return random.sample(self._members, max(1, int(share * len(self._members))))


async def _replay(device: dict[str, str], port: int, wanted: list[str]) -> str:
    offered = [Subprotocol("notifyhub.v1"), Subprotocol(f"notifyhub.auth.{device['token']}")]
    seen: list[str] = []
    places: list[bytes] = []
    async with connect(
        f"ws://127.0.0.1:{port}/ws/v1/", subprotocols=offered, compression=None, proxy=None, close_timeout=1
    ) as connection:
        await connection.send(json.dumps({"type": "resume", "cursor": BEGINNING}))
        try:
            async with asyncio.timeout(30):
                while len(set(seen)) < len(wanted):
                    frame = json.loads(await connection.recv())
                    if frame["type"] == "entries":
                        seen += [entry["id"] for entry in frame["entries"]]
                        places += [positions.decode(entry["position"]) for entry in frame["entries"]]
                        await connection.send(json.dumps({"type": "ack", "seq": frame["seq"]}))
        except (TimeoutError, ConnectionClosed) as error:
            return f"{device['uid']}: {len(set(seen))} of {len(wanted)} entries, then {error!r}"
    if set(seen) != set(wanted):
        return f"{device['uid']}: {len(set(seen) - set(wanted))} strange entries"
    return "" if places == sorted(places) else f"{device['uid']}: not in order of position"


def main() -> None:
    """Obey until the input ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def begin() -> Crowd:
        return Crowd()

    crowd = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    for line in sys.stdin:
        given = json.loads(line)
        try:
            work = getattr(crowd, given.pop("verb"))(**given)
            answer = {"done": asyncio.run_coroutine_threadsafe(work, loop).result()}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
