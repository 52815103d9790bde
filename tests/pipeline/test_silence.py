"""A phone with an open app, end to end: its socket first, a push only when nothing is heard from it."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.pipeline.live_hub import LiveHub

pytestmark = pytest.mark.server
WAIT = 2.0
"""What the critical lane waits for an acknowledgement."""


class Phone:
    """An Android phone of a new subscriber, known to FCM; `open` opens its app."""

    def __init__(self, hub: LiveHub) -> None:
        self.hub = hub
        self.owner = f"owner-{uuid.uuid4().hex[:8]}"
        self.device = str(uuid.uuid4())
        (self.token,) = hub.fleet.make_fcm_devices(1, project="notifyhub-demo")
        hub.api("PUT", f"subscribers/{self.owner}", {"locale": "en"})
        what = {"subscriber": self.owner, "platform": "android", "provider": "fcm", "token": self.token}
        hub.api("PUT", f"devices/{self.device}", what)

    @contextmanager
    def open(self) -> Iterator[ClientConnection]:
        """Hold the app's WebSocket, greeted by the hub."""
        minted = self.hub.api("POST", "tokens", {"subscriber": self.owner, "device": self.device})
        protocols = [Subprotocol("notifyhub.v1"), Subprotocol(f"notifyhub.auth.{minted['token']}")]
        with connect(self.hub.socket_url, subprotocols=protocols, proxy=None) as socket:
            socket.send(json.dumps({"type": "resume", "cursor": None}))
            assert json.loads(socket.recv(timeout=5))["type"] == "hello"
            yield socket

    def tell(self) -> str:
        """Tell its owner something urgent; return the run."""
        body = {"to": self.owner, "title": "At the door", "lane": "critical"}
        return str(self.hub.api("POST", "notifications", body)["run"])

    def pushes(self) -> int:
        return len(self.hub.fleet.screen(self.token)["notices"])

    def settled(self, run: str, *, within: float = 10.0) -> dict[str, Any]:
        """Wait until nothing of the run waits any more; return its progress."""
        until = time.monotonic() + within
        while True:
            progress: dict[str, Any] = self.hub.api("GET", f"runs/{run}")["progress"]
            if progress["planned"] and not progress["waiting"] and progress["messages"]:
                return progress
            assert time.monotonic() < until, progress
            time.sleep(0.05)


def entry(socket: ClientConnection) -> dict[str, Any]:
    """Return the next frame with entries."""
    while True:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=5))
        if frame["type"] == "entries":
            return frame


@pytest.fixture
def phone(live_hub: LiveHub) -> Phone:
    return Phone(live_hub)


@pytest.fixture
def app(phone: Phone) -> Iterator[ClientConnection]:
    with phone.open() as socket:
        yield socket


def test_an_open_app_that_acknowledges_gets_no_push(phone: Phone, app: ClientConnection) -> None:
    begun = time.monotonic()
    run = phone.tell()
    frame = entry(app)
    assert time.monotonic() - begun < WAIT
    assert frame["entries"][0]["title"] == "At the door"
    app.send(json.dumps({"type": "ack", "seq": frame["seq"]}))
    progress = phone.settled(run)
    assert (progress["outcomes"], phone.pushes()) == ({"sent": 1}, 0)


def test_an_open_app_that_says_nothing_is_pushed_to_after_its_wait(
    phone: Phone, app: ClientConnection
) -> None:
    begun = time.monotonic()
    run = phone.tell()
    frame = entry(app)
    phone.hub.fleet.wait(token=phone.token, at_least=1, timeout=10)
    waited = time.monotonic() - begun
    print(f"pushed {waited:.2f} s after the event")
    assert WAIT <= waited < WAIT + 2.5, "the clock looks once a second"
    progress = phone.settled(run)
    assert progress["outcomes"] == {"sent": 1}
    [notice] = phone.hub.fleet.screen(phone.token)["notices"]
    assert notice["notification"] == frame["entries"][0]["id"], "the app can drop what it has by its id"


def test_a_closed_app_is_pushed_to_at_once(phone: Phone) -> None:
    with phone.open():
        pass
    begun = time.monotonic()
    run = phone.tell()
    phone.hub.fleet.wait(token=phone.token, at_least=1, timeout=10)
    assert time.monotonic() - begun < WAIT
    assert phone.settled(run)["outcomes"] == {"sent": 1}
