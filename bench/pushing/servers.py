"""The servers that are compared: our web process behind Daphne and behind uvicorn, and Centrifugo.

Each holds the same subscribers' connections, authenticated by a signed token and with presence, and is told the same
texts. Ours is told as a worker tells it: presence, node stream, answer; and every entry is acknowledged, which is
written to the log. Centrifugo is told over HTTP, 500 messages a request.
"""

import base64
import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from bench.pushing.load import Load, LoadError
from delivery import presence, sockets
from delivery.content import Content
from delivery.log import body as bodies
from delivery.log.store import NewEntry, log_store
from delivery.models import Parcel
from delivery.outgoing import Outgoing, Target, decode, encode
from devices import tokens
from devices.models import Application, Device, Platform, Provider, Subscriber
from tests.servers.process import free_port

BATCH = 500
"""Messages in one hand-over or request."""
TEXT = "Your parcel is on its way and will be with you between ten and eleven."
PLACES = Sequence[int]
"""Whom a message is for: indexes of the connections."""
_open = build_opener(ProxyHandler({})).open


class Server(Protocol):
    """A server that runs. `processes` are metered by name; `pid` is the one that holds the connections."""

    name: str
    pid: int
    processes: dict[str, int]
    version: str

    def config(self, connections: int) -> dict[str, Any]:
        """Return the load client's configuration."""
        ...

    def check(self, connections: int) -> None:
        """Raise `LoadError` unless the server's presence knows of all connections."""
        ...

    def unicast(self, load: Load, batches: Sequence[PLACES]) -> float:
        """Tell each of them something of its own; return the CPU seconds of whoever publishes, where that is ours."""
        ...

    def broadcast(self, load: Load, times: int, connections: int) -> float:
        """Tell all of them the same, so many times."""
        ...

    def pace(self, load: Load, batches: Sequence[PLACES], per_second: float) -> float:
        """Tell them batch by batch, so many batches a second."""
        ...


@dataclass
class People:
    """Devices of a subscriber each, and their tokens."""

    devices: list[Device]
    tokens: list[str]


def populate(count: int) -> People:
    """Make the devices in an empty database."""
    application = Application.objects.create(slug="push", name="Push")
    subscribers = Subscriber.objects.bulk_create(
        (Subscriber(application=application, external_id=f"s{at}", locale="en") for at in range(count)),
        batch_size=2_000,
    )
    devices = Device.objects.bulk_create(
        (
            Device(application=application, subscriber=one, provider=Provider.SOCKET, platform=Platform.WEB)
            for one in subscribers
        ),
        batch_size=2_000,
    )
    key = tokens.signing_key(application)
    return People(devices, [tokens.mint(one.subscriber, one, seconds=12 * 3_600, key=key) for one in devices])


class Ours:
    """`python -m notifyhub.web`, with Redis and a log in SQLite; this process is the worker that publishes."""

    def __init__(
        self, people: People, process: "subprocess.Popen[bytes]", port: int, *, kind: str, redis: int
    ) -> None:
        from importlib.metadata import version

        self.name = kind
        self.version = f"{kind} {version(kind)}"
        self.pid = process.pid
        self.processes = {"node": process.pid, "redis": redis}
        self._people = people
        self._process = process
        self._port = port
        self._parcels = 0

    def config(self, connections: int) -> dict[str, Any]:
        return {
            "dialect": "notifyhub",
            "url": f"ws://127.0.0.1:{self._port}/ws/v1/",
            "tokens": self._people.tokens[:connections],
            "acks": "calm",
            "at_once": 200,
        }

    def check(self, connections: int) -> None:
        devices = [one.uid.bytes for one in self._people.devices[:connections]]
        _check(self.name, sum(bool(held) for held in presence.where(devices)), connections)

    def unicast(self, load: Load, batches: Sequence[PLACES]) -> float:
        return self._tell(batches, apart=True)

    def broadcast(self, load: Load, times: int, connections: int) -> float:
        places = range(connections)
        batches = [places[start : start + BATCH] for start in range(0, connections, BATCH)]
        return self._tell(batches * times, apart=False)

    def pace(self, load: Load, batches: Sequence[PLACES], per_second: float) -> float:
        began, used = time.monotonic(), 0.0
        for at, batch in enumerate(batches):
            time.sleep(max(0.0, began + at / per_second - time.monotonic()))
            used += self._tell([batch], apart=True)
        return used

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def store(self, connections: int) -> None:
        """Log one entry for each of the first connections' subscribers; nobody is told."""
        stamp = time.time()
        body = bodies.encode(bodies.Body(content=_content(), category="", sent_at=int(stamp * 1000)))
        for start in range(0, connections, BATCH):
            some = self._people.devices[start : min(start + BATCH, connections)]
            log_store().append(
                [NewEntry(one.subscriber.uid.bytes, os.urandom(16), body) for one in some],
                run=uuid.uuid4(),
                stamp=stamp,
            )

    def _tell(self, batches: Iterable[PLACES], *, apart: bool) -> float:
        """Tell each batch as a worker does that finds it in a parcel; return the CPU seconds of that."""
        used = 0.0
        for batch in batches:
            self._parcels += 1
            outgoing = Outgoing(stamp=time.time())
            content = _content()
            for place in batch:
                device = self._people.devices[place]
                outgoing.add(_target(device), _content() if apart else content)
            body = encode(outgoing)
            run = SimpleNamespace(uid=uuid.uuid4(), category=None)
            parcel = SimpleNamespace(pk=self._parcels, fence=1, run=run, lane="normal")
            began = time.process_time()
            sockets.send(cast(Parcel, parcel), decode(body))
            used += time.process_time() - began
        return used


def _content() -> Content:
    return Content(title="On its way", body=TEXT, data={"t": str(time.time_ns())})


def _target(device: Device) -> Target:
    return Target(
        device.pk,
        device.uid.bytes,
        device.subscriber_id,
        device.subscriber.uid.bytes,
        os.urandom(16),
        "",
        False,
        "web",
        0,
        None,
    )


@contextmanager
def ours(people: People, folder: Path, *, kind: str, redis: int, cpu: int, port: int = 0) -> Iterator[Ours]:
    """Start a web process of ours on one core, and end it."""
    port = port or free_port()
    environment = os.environ | {
        "NOTIFYHUB_PORT": str(port),
        "NOTIFYHUB_SERVER": kind,
        "NOTIFYHUB_ROLE": "web",
        "NOTIFYHUB_SOCKETS": "25000",
        "NOTIFYHUB_LOG_LEVEL": "WARNING",
    }
    with (folder / f"{kind}-{port}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "notifyhub.web"], env=environment, stdout=log, stderr=log
        )
        try:
            os.sched_setaffinity(process.pid, {cpu})
            _wait(f"http://127.0.0.1:{port}/-/health/live", process)
            yield Ours(people, process, port, kind=kind, redis=redis)
        finally:
            process.kill()
            process.wait()


def figures() -> dict[str, float]:
    """Return what our nodes say of themselves, summed."""
    sums: dict[str, float] = {}
    for one in presence.read_figures().values():
        for name, value in one.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


class Centrifugo:
    """Centrifugo in one process, with its memory engine."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        port: int,
        *,
        secret: str,
        key: str,
        folder: Path,
        version: str,
    ) -> None:
        self.name = "centrifugo"
        self.version = version
        self.pid = process.pid
        self.processes = {"centrifugo": process.pid}
        self._port, self._secret, self._key, self._folder = port, secret, key, folder

    def config(self, connections: int) -> dict[str, Any]:
        return {
            "dialect": "centrifugo",
            "url": f"ws://127.0.0.1:{self._port}/connection/websocket",
            "tokens": [self._token(f"s{at}") for at in range(connections)],
            "acks": "none",
            "at_once": 200,
            "post_url": f"http://127.0.0.1:{self._port}/api/batch",
            "post_key": self._key,
        }

    def _token(self, user: str) -> str:
        def part(value: bytes) -> bytes:
            return base64.urlsafe_b64encode(value).rstrip(b"=")

        head = part(b'{"alg":"HS256","typ":"JWT"}')
        claims = {"sub": user, "exp": int(time.time()) + 43_200, "channels": ["all"]}
        signed = head + b"." + part(json.dumps(claims).encode())
        return (signed + b"." + part(hmac.digest(self._secret.encode(), signed, hashlib.sha256))).decode()

    def check(self, connections: int) -> None:
        request = Request(
            f"http://127.0.0.1:{self._port}/api/presence_stats",
            _text({"channel": "all"}).encode(),
            {"X-API-Key": self._key},
        )
        with _open(request, timeout=10) as answer:
            _check(self.name, json.loads(answer.read())["result"]["num_users"], connections)

    def unicast(self, load: Load, batches: Sequence[PLACES]) -> float:
        load.tell("post", self._requests(batches))
        return 0.0

    def broadcast(self, load: Load, times: int, connections: int) -> float:
        path = self._folder / "requests"
        path.write_text("\n".join([_text({"commands": [_publish("all")]})] * times))
        load.tell("post", path)
        return 0.0

    def pace(self, load: Load, batches: Sequence[PLACES], per_second: float) -> float:
        load.tell("pace", self._requests(batches), int(per_second))
        return 0.0

    def _requests(self, batches: Sequence[PLACES]) -> Path:
        path = self._folder / "requests"
        with path.open("w") as file:
            for batch in batches:
                file.write(_text({"commands": [_publish(f"#s{at}") for at in batch]}) + "\n")
        return path


def _check(name: str, present: int, connections: int) -> None:
    if present != connections:
        raise LoadError(f"{name} knows of {present:,} present, and {connections:,} are connected")


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _publish(channel: str) -> dict[str, Any]:
    # As large as an entry of ours, which has an id, a position, a run and more besides its text.
    data = {
        "id": str(uuid.uuid4()),
        "position": base64.b64encode(random.randbytes(17)).decode(),
        "kind": "notification",
        "run": str(uuid.uuid4()),
        "title": "On its way",
        "body": TEXT,
        "subtitle": "",
        "image": "",
        "link": "",
        "category": "",
        "data": {"t": "$T"},
        "sent_at": "2026-11-24T09:30:00.000Z",
    }
    return {"publish": {"channel": channel, "data": data}}


@contextmanager
def centrifugo(program: Path, folder: Path, *, cpu: int, version: str) -> Iterator[Centrifugo]:
    """Start Centrifugo on one core, and end it."""
    port, secret, key = free_port(), "a secret of the benchmark's alone", "the key of its HTTP API"
    config = folder / "centrifugo.json"
    config.write_text(
        json.dumps(
            {
                "address": "127.0.0.1",
                "port": str(port),
                "token_hmac_secret_key": secret,
                "api_key": key,
                "log_level": "error",
                "user_subscribe_to_personal": True,
                "presence": True,
                "health": True,
                "client_queue_max_size": 4_194_304,
            }
        )
    )
    with (folder / "centrifugo.log").open("ab") as log:
        process = subprocess.Popen(
            [str(program), "--config", str(config)],
            env=os.environ | {"GOMAXPROCS": "1"},
            stdout=log,
            stderr=log,
        )
        try:
            os.sched_setaffinity(process.pid, {cpu})
            _wait(f"http://127.0.0.1:{port}/health", process)
            yield Centrifugo(process, port, secret=secret, key=key, folder=folder, version=version)
        finally:
            process.kill()
            process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", *, within: float = 90.0) -> None:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with _open(url, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise LoadError(f"nobody answers at {url}")
