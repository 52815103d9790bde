"""A device of the tests: a WebSocket that reads when the test says so."""

import json
import socket
import time
from contextlib import ExitStack
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

WITHIN = 20.0
SMALL = 4_096
"""Bytes that the system takes for a device that does not read."""
FAT = "\N{GRINNING FACE}" * 4_000
FATS = 30
"""What such a device is sent: more than may wait for it, and than its system takes."""


def small_socket(url: str) -> socket.socket:
    """Return a connected socket that takes little from the other side before that has to wait."""
    address = urlsplit(url)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    try:
        made.connect((address.hostname, address.port))
    except OSError:
        made.close()
        raise
    return made


class Socket:
    """One open WebSocket of a device; with `resume` its hello has come."""

    def __init__(
        self, url: str, token: str = "", *, cursor: str | None = None, resume: bool = True, **options: Any
    ) -> None:
        offered = [Subprotocol("notifyhub.v1")]
        if token:
            offered.append(Subprotocol(f"notifyhub.auth.{token}"))
        self._stack = ExitStack()
        self.connection: ClientConnection = self._stack.enter_context(
            connect(url, subprotocols=offered, compression=None, close_timeout=1, proxy=None, **options)
        )
        self.hello: dict[str, Any] = {}
        if resume:
            self.say(type="resume", cursor=cursor)
            self.hello = self.next()
            assert self.hello["type"] == "hello", self.hello

    def say(self, **frame: Any) -> None:
        self.connection.send(json.dumps(frame))

    def next(self, *, within: float = WITHIN) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.connection.recv(timeout=within))
        return frame

    def frame(self, kind: str, *, within: float = WITHIN) -> dict[str, Any]:
        """Return the next frame of a type; others before it are passed over."""
        until = time.monotonic() + within
        while (left := until - time.monotonic()) > 0:
            frame = self.next(within=left)
            if frame["type"] == kind:
                return frame
        raise TimeoutError(kind)

    def titles(self, count: int, *, acknowledge: bool = True) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            frame = self.frame("entries")
            found += [entry["title"] for entry in frame["entries"]]
            if acknowledge:
                self.say(type="ack", seq=frame["seq"])
        return found

    def settled(self) -> None:
        """Return when the node has worked everything that was said before."""
        self.say(type="ping")
        self.frame("pong")

    def close_code(self, *, within: float = WITHIN) -> int | None:
        until = time.monotonic() + within
        while time.monotonic() < until:
            try:
                self.connection.recv(timeout=until - time.monotonic())
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None
        return None

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
