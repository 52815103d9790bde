"""Every way of writing to a device, behind real servers: the same bytes in the same order, and never a wait."""

import asyncio
import json
import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from delivery.node.wire import CLOSE_SECONDS, AsgiWire, frame
from tests.servers.process import Process, free_port

WAYS = ("daphne-fast", "daphne-plain", "uvicorn-fast", "uvicorn-plain")
SIZES = (1, 7, 124, 125, 126, 127, 300, 65_535, 65_536, 90_000)
ROOT = Path(__file__).parents[3]


class Line:
    """A WebSocket client that does nothing by itself: what comes is read as bytes when the test says so."""

    def __init__(self, port: int, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head

    def say(self, text: str, *, pieces: int = 1) -> None:
        payload, mask = text.encode(), secrets.token_bytes(4)
        assert len(payload) < 126
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        data = bytes((0x81, 0x80 | len(payload))) + mask + masked
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            self.socket.sendall(data[start : start + size])

    def take(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            some = self.socket.recv(count - len(got))
            assert some, f"the server closed after {len(got)} of {count} bytes"
            got += some
        return got

    def rest(self) -> bytes:
        got = b""
        try:
            while some := self.socket.recv(65_536):
                got += some
        except ConnectionResetError:
            pass
        return got

    def text(self) -> str:
        head = self.take(2)
        size = head[1]
        if size == 126:
            size = struct.unpack(">H", self.take(2))[0]
        assert head[0] == 0x81, head
        return self.take(size).decode()


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """A server, and whether it is written to fast or by its `send` alone."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of one kind whose application writes as it is told; its port."""
    kind, _, speed = way.partition("-")
    port = free_port()
    log = tmp_path_factory.mktemp(way) / "server.log"
    here = f"{__package__}.wire_server"
    command = [sys.executable, "-m", here, kind, speed, str(port)]
    process = Process(command, name=way, log=log, env=os.environ | {"PYTHONPATH": str(ROOT)})
    process.start()
    try:
        process.wait_until(lambda: _listens(port), seconds=20)
        yield port
    finally:
        process.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Dial = Callable[..., Line]


@pytest.fixture
def dial(server: int) -> Iterator[Callable[..., Line]]:
    """Open lines to the server; they are closed with the test."""
    lines: list[Line] = []

    def open_one(**options: int) -> Line:
        lines.append(Line(server, **options))
        return lines[-1]

    yield open_one
    for line in lines:
        line.socket.close()


def told(line: Line, **order: Any) -> None:
    line.say(json.dumps(order))


def test_the_bytes_are_those_of_the_protocol_in_the_order_of_writing(dial: Dial) -> None:
    line = dial()
    told(line, write=SIZES)
    wanted = b"".join(frame(payload(size)) for size in SIZES)
    assert line.take(len(wanted)) == wanted


def payload(size: int) -> bytes:
    """What `wire_server` writes for a size."""
    return (b"%d," % size * size)[:size]


def test_a_device_that_reads_late_gets_every_byte_in_order(dial: Dial, way: str) -> None:
    """The kernel's buffers are full, then the server's own; then they are drained."""
    line = dial(receive_buffer=4_096)
    sizes = [300, 65_536] * 100
    for start in range(0, len(sizes), 10):
        told(line, write=sizes[start : start + 10])
    if way != "daphne-plain":  # which does not say
        other, most = dial(), 0
        while most < 100_000:  # until the server's own buffers hold something
            told(other, ask="most waiting")
            most = int(other.text())
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)  # from here on it reads fast
    wanted = b"".join(frame(payload(size)) for size in sizes)
    assert line.take(len(wanted)) == wanted
    told(line, ask="waiting")
    assert line.text() == "0"


def test_writing_never_waits_for_the_device(dial: Dial) -> None:
    stalled, other = dial(receive_buffer=4_096), dial()
    for _ in range(30):
        told(stalled, write=[90_000] * 5)
    told(other, write=[5])
    assert other.text() == "5,5,5"


def test_small_frames_arrive_however_they_are_cut(dial: Dial) -> None:
    line = dial()
    for pieces in (1, 2, 3, 9, 30):
        line.say(json.dumps({"say": f"in {pieces} pieces – ü"}), pieces=pieces)
    line.socket.sendall(b"")
    assert [line.text() for _ in range(5)] == [f"in {n} pieces – ü" for n in (1, 2, 3, 9, 30)]


def test_a_close_comes_behind_what_was_written(dial: Dial, way: str) -> None:
    line = dial()
    told(line, write=[300, 7], close=1013)
    code = 1013 if way.endswith("fast") else 4500
    wanted = frame(payload(300)) + frame(payload(7)) + b"\x88\x02" + code.to_bytes(2, "big")
    assert line.take(len(wanted)) == wanted


def test_nothing_is_written_behind_a_close(dial: Dial, way: str) -> None:
    line = dial()
    told(line, write=[7], close=1013, then=[300])
    wanted = len(frame(payload(7))) + 4
    line.take(wanted)
    line.socket.shutdown(socket.SHUT_WR)
    assert line.rest() == b""


def test_a_device_that_does_not_take_its_close_is_dropped(dial: Dial, way: str) -> None:
    """What waits for it stands before the close. Where only `await send` is possible, that is the server's affair."""
    if way.endswith("fast"):
        other = dial()
        told(other, ask="files")
        before = int(other.text())
        line = dial(receive_buffer=4_096)
        for _ in range(30):
            told(line, write=[90_000] * 5)
        told(line, close=1013)
        files, until = before + 1, time.monotonic() + 15
        while files > before:
            assert time.monotonic() < until
            told(other, ask="files")
            files = int(other.text())


def test_the_ways_are_the_ones_that_were_meant(dial: Dial, way: str) -> None:
    line = dial()
    told(line, ask="way")
    assert line.text() == {"daphne-fast": "DaphneWire", "uvicorn-fast": "UvicornWire"}.get(way, "AsgiWire")


def test_the_releases_are_those_whose_insides_were_read() -> None:
    """Another one may well do: read what `delivery/node/wire.py` lists, run this module, and change the number."""
    read = {"daphne": "4.2.3", "twisted": "26.10.0", "autobahn": "26.10.2", "uvicorn": "0.54.0"}
    assert {name: version(name) for name in read} == read


def test_the_asgi_way_keeps_nothing_for_a_device_that_does_not_take_its_close() -> None:
    async def course() -> tuple[int, bool]:
        stuck, ended = asyncio.Event(), asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            stuck.set()
            try:
                await asyncio.Event().wait()  # the device does not read
            finally:
                ended.set()

        wire = AsgiWire(send)
        wire.write(b"one")
        wire.write(b"two")
        await stuck.wait()
        wire.close(1013)
        loop = asyncio.get_running_loop()
        later = loop.time() + CLOSE_SECONDS
        loop.time = lambda: later  # type: ignore[method-assign]
        for _ in range(4):
            await asyncio.sleep(0)
        return wire.waiting, ended.is_set()

    assert asyncio.run(course()) == (0, True)


def test_a_server_that_fails_ends_the_asgi_way_quietly() -> None:
    async def course() -> int:
        async def send(message: dict[str, Any]) -> None:
            raise OSError("gone")

        wire = AsgiWire(send)
        wire.write(b"one")
        wire.write(b"two")
        await asyncio.sleep(0)
        wire.close(1000)
        await asyncio.sleep(0)
        return wire.waiting

    assert asyncio.run(course()) == 0
