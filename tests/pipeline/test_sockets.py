"""The WebSocket of a real hub: replay, acknowledgement, refusals, and a node or a Redis that was away."""

import itertools
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.pipeline.live_hub import LiveHub

pytestmark = pytest.mark.server
_numbers = itertools.count()


class Device:
    """A registered browser of a subscriber of its own."""

    def __init__(self, hub: LiveHub) -> None:
        self.hub = hub
        self.subscriber = f"reader-{next(_numbers)}"
        self.uid = str(uuid.uuid4())
        hub.api("PUT", f"subscribers/{self.subscriber}", {"locale": "en"})
        what = {"subscriber": self.subscriber, "platform": "web", "provider": "socket"}
        hub.api("PUT", f"devices/{self.uid}", what)
        asked = {"subscriber": self.subscriber, "device": self.uid}
        self.token = str(hub.api("POST", "tokens", asked)["token"])

    def push(self, title: str, *, lane: str = "high") -> str:
        """Send the subscriber a notification; return its id."""
        answer = self.hub.api("POST", "notifications", {"to": self.subscriber, "title": title, "lane": lane})
        return str(answer["notifications"][0]["id"])

    @contextmanager
    def connected(self, cursor: str | None = None, *, resume: bool = True) -> Iterator[ClientConnection]:
        """Open a socket; with `resume` its hello has come."""
        offered = [Subprotocol("notifyhub.v1"), Subprotocol(f"notifyhub.auth.{self.token}")]
        with connect(self.hub.socket_url, subprotocols=offered, compression=None, close_timeout=1) as socket:
            assert socket.subprotocol == "notifyhub.v1"
            if resume:
                socket.send(json.dumps({"type": "resume", "cursor": cursor}))
                assert receive(socket)["type"] == "hello"
            yield socket


def receive(socket: ClientConnection, *, within: float = 20.0) -> dict[str, Any]:
    """Return the next frame; pongs and the like included."""
    frame: dict[str, Any] = json.loads(socket.recv(timeout=within))
    return frame


def titles(socket: ClientConnection, count: int, *, within: float = 20.0) -> list[str]:
    """Return the titles of the next `count` entries and acknowledge them."""
    found: list[str] = []
    while len(found) < count:
        frame = receive(socket, within=within)
        if frame["type"] == "missed":  # a node whose orders were lost says so; the log is what counts here
            continue
        assert frame["type"] == "entries", frame
        found += [entry["title"] for entry in frame["entries"]]
        socket.send(json.dumps({"type": "ack", "seq": frame["seq"]}))
    return found


def close_code(socket: ClientConnection, *, within: float = 20.0) -> int | None:
    """Return the code that the hub closes the socket with."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            socket.recv(timeout=within)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None
    return None


def part(hub: LiveHub, role: str) -> psutil.Process:
    """Return the process of one of the hub's parts."""
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("NOTIFYHUB_ROLE") == role and environment.get("NOTIFYHUB_PORT") == str(hub.port):
            return process
    raise AssertionError(f"no process plays {role}")


def test_who_waits_hears_what_the_device_has_acknowledged(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    body = {"to": device.subscriber, "title": "Now", "lane": "critical"}
    with device.connected() as socket, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(live_hub.api, "POST", "notifications?wait=10", body)
        assert titles(socket, 1) == ["Now"]
        answer = waiting.result(20)
    (told,) = answer["devices"]
    assert (told["device"], told["outcome"], told["reason"]) == (device.uid, "sent", "written")
    assert told["acknowledged_at"] and answer["complete"]


def test_what_was_missed_comes_in_order_and_then_what_is_new(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    for title in ("one", "two", "three"):
        device.push(title)
    with device.connected() as socket:
        assert titles(socket, 3) == ["one", "two", "three"]
        device.push("four")
        assert titles(socket, 1) == ["four"]


def test_the_inbox_and_the_socket_give_the_same_entries(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    sent = [device.push(title) for title in ("one", "two")]
    with device.connected() as socket:
        frame = receive(socket)
        while len(frame["entries"]) < 2:
            frame["entries"] += receive(socket)["entries"]
    pulled = live_hub.api("GET", "inbox", secret=device.token)
    same = [{**entry, "state": "unread"} for entry in frame["entries"]]
    assert pulled["entries"] == same
    assert [entry["id"] for entry in same] == sent
    assert live_hub.api("GET", f"inbox?after={pulled['cursor']}", secret=device.token)["entries"] == []
    with device.connected(cursor=pulled["cursor"]) as socket:
        device.push("three")
        assert titles(socket, 1) == ["three"], "the cursor names what was read of the last seconds"


def test_an_acknowledgement_becomes_a_receipt(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    with device.connected() as socket:
        run = ""
        device.push("told")
        frame = receive(socket)
        run = frame["entries"][0]["run"]
        socket.send(json.dumps({"type": "ack", "seq": frame["seq"]}))
        socket.send(json.dumps({"type": "ping"}))
        assert receive(socket)["type"] == "pong"
    asked = f"""
from delivery.log.store import log_store
from devices.models import Subscriber
who = Subscriber.objects.get(external_id={device.subscriber!r}).uid
print([row.kind for row in log_store().receipts(who, ["{frame["entries"][0]["id"]}"])])
"""
    deadline = time.monotonic() + 10
    while "acknowledged" not in live_hub.manage("shell", "-c", asked):
        assert time.monotonic() < deadline, f"run {run}: no receipt"


def test_the_fifth_socket_of_a_device_replaces_the_first(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    with ExitStack() as stack:
        first, _, _, _, fifth = (stack.enter_context(device.connected()) for _ in range(5))
        assert close_code(first) == 4409
        device.push("still here")
        assert titles(fifth, 1) == ["still here"]


def test_a_bad_token_is_refused_with_the_reason(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    device.token = device.token[:-6] + "AAAAAA"
    with device.connected(resume=False) as socket:
        problem = receive(socket)
        assert problem["type"] == "error" and "token" in problem["problem"]["title"].lower()
        assert close_code(socket) == 4401


def test_a_socket_lives_no_longer_than_its_token(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    printed = live_hub.manage("shell", "-c", _EXPIRING.format(device.subscriber, device.uid))
    device.token = json.loads(printed.splitlines()[-1])
    with device.connected() as socket:
        assert close_code(socket) == 4401


_EXPIRING = """
import json
from devices import tokens
from devices.models import Device
device = Device.objects.select_related("subscriber__application").get(uid={1!r}, subscriber__external_id={0!r})
print(json.dumps(tokens.mint(device.subscriber, device, seconds=4)))
"""


def test_what_is_not_understood_is_answered_and_harms_nothing(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    with device.connected() as socket:
        for text in (
            "{",
            '{"type":"nothing"}',
            '{"type":"ack","seq":"x"}',
            '{"type":"receipt","ids":[],"kind":"seen"}',
        ):
            socket.send(text)
            assert receive(socket)["type"] == "error"
        device.push("fine")
        assert titles(socket, 1) == ["fine"]
        socket.send(json.dumps({"type": "receipt", "kind": "read", "ids": ["x" * 20_000]}))
        assert close_code(socket) == 1009


def test_a_device_that_says_nothing_for_five_seconds_is_let_go(live_hub: LiveHub) -> None:
    with connect(live_hub.socket_url, compression=None, close_timeout=1) as socket:
        assert close_code(socket) == 4401


def test_a_recall_reaches_open_sockets(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    with device.connected() as socket:
        device.push("a mistake")
        run = receive(socket)["entries"][0]["run"]
        live_hub.api("POST", f"runs/{run}/recall", {})
        frame = receive(socket)
        assert (frame["type"], frame["run"]) == ("recall", run)


def test_a_node_that_slept_gives_its_devices_what_passed_by(live_hub: LiveHub) -> None:
    """Senders take a node for dead after 15 s and store; when it wakes up it reads its devices' logs again."""
    device = Device(live_hub)
    web, clock = part(live_hub, "web"), part(live_hub, "clock")
    with device.connected() as socket:
        live_hub.manage("shell", "-c", _LATER.format(device.subscriber))
        clock.suspend()  # the notification is given to the workers while the node sleeps
        web.suspend()
        time.sleep(17)  # the time itself is what is tested: longer than `presence.NODE_SECONDS`
        clock.resume()
        live_hub.manage("shell", "-c", _UNTIL_DONE)
        web.resume()
        assert titles(socket, 1, within=30) == ["while you slept"]


_LATER = """
from datetime import date
from delivery import runs
from delivery.snapshot import Named, Snapshot, Text
from devices.models import Subscriber
who = Subscriber.objects.select_related("application").get(external_id={!r})
run = runs.launch(application=who.application, origin="test:sleep", title="sleep", lane="normal",
    snapshot=Snapshot(texts={{"en": Text(title="while you slept")}}), people=[Named(who.pk)])
runs.pause(run)
"""
_UNTIL_DONE = """
import time
from delivery import runs
from delivery.models import Run
run = Run.objects.get(origin="test:sleep")
runs.resume(run)
while not runs.progress(run).complete:
    time.sleep(0.05)
assert runs.progress(run).outcomes == {"stored": 1}, runs.progress(run)
"""


def test_devices_lose_nothing_when_redis_dies_and_forgets(live_hub: LiveHub) -> None:
    device = Device(live_hub)
    with device.connected() as socket:
        supervisor = part(live_hub, "web").parent()
        assert supervisor is not None
        # a Redis writes its title over its environment, where the other parts have their role
        [redis] = [child for child in supervisor.children() if child.name() == "redis-server"]
        redis.kill()
        for number in range(5):
            device.push(f"number {number}")
        assert set(titles(socket, 5, within=40)) == {f"number {number}" for number in range(5)}
        device.push("after")
        assert titles(socket, 1, within=30) == ["after"]
