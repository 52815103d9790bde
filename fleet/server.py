"""Starts the fleet: certificates, endpoints, the ready file; and ends it within two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
from pathlib import Path
from typing import Any

import msgspec

from fleet.apns import Apns
from fleet.apns_certificates import Certificates
from fleet.apns_keys import ProviderTokens
from fleet.asking import Asker
from fleet.breaking import Breaker
from fleet.control import Control
from fleet.devices import PUSH_PROVIDERS, Provider
from fleet.endpoint import Endpoint, PortError
from fleet.fcm import Fcm
from fleet.http import Handler
from fleet.making import Maker
from fleet.oauth import TOKEN_PATH, TokenEndpoint
from fleet.pulling import Pullers
from fleet.scenario import Scenario, Stage
from fleet.sockets import Sockets
from fleet.tls import TlsFiles, ensure_certificates
from fleet.webpush import WebPush
from fleet.world import World

READY_FILE = "fleet.json"
_LOCK_FILE = "fleet.lock"
_MOST_CONTROL_BODY = 256 << 20


class StartError(RuntimeError):
    """The fleet cannot start; the text says why and what to do."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to start; port 0 takes the port of the last start on this folder, else any free one.

    `parent` is the id of a process whose end ends the fleet too.
    """

    data: Path
    fcm_port: int = 0
    apns_port: int = 0
    apns_sandbox_port: int = 0
    webpush_port: int = 0
    control_port: int = 0
    latency_ms: float = 0.0
    scenario: Path | None = None
    parent: int | None = None


class FleetServer:
    """The fleet in one process and one event loop, so that there is one record.

    FCM and its token endpoint share a port; APNs has one for each environment, as Apple has hosts.
    """

    def __init__(self, options: Options) -> None:
        options.data.mkdir(parents=True, exist_ok=True)
        self._options = options
        self._lock = _lock(options.data)
        self._scenario = None if options.scenario is None else Scenario.read(options.scenario)
        self.world = World(options.data)
        for provider in PUSH_PROVIDERS:
            self.world.break_(provider, latency_ms=options.latency_ms)
        self.oauth = TokenEndpoint()
        self.keys = ProviderTokens()
        self.certificates = Certificates()
        for account in self.world.accounts.values():
            self.oauth.enrol(account)
        for certificate in self.world.apns_certificates:
            self.certificates.enrol(certificate)
        for key in self.world.apns_keys.values():
            self.keys.enrol(key)
        self.fcm = Fcm(self.world, self.oauth)
        self.apns = Apns(self.world, self.keys, self.certificates, "production")
        self.apns_sandbox = Apns(self.world, self.keys, self.certificates, "sandbox")
        self.webpush = WebPush(self.world)
        self.sockets = Sockets(self.world)
        self._doors: dict[Provider, list[Endpoint]] = {}
        self.world.cut = self._cut
        self.pullers = Pullers(self.world)
        maker = Maker(
            self.world,
            oauth=self.oauth,
            keys=self.keys,
            certificates=self.certificates,
            webpush=self.webpush,
        )
        breaker = Breaker(self.world, oauth=self.oauth, doors=self._doors)
        answers = {
            "fcm": [self.fcm.answers],
            "apns": [self.apns.answers, self.apns_sandbox.answers],
            "webpush": [self.webpush.answers],
        }
        self.control = Control(
            self.world,
            maker=maker,
            breaker=breaker,
            asker=Asker(self.world, oauth=self.oauth, answers=answers),
            sockets=self.sockets,
            pullers=self.pullers,
        )
        self._stage = Stage(options.data, maker=maker, breaker=breaker)
        self._endpoints: list[Endpoint] = []

    async def start(self) -> dict[str, Any]:
        """Listen everywhere and write the ready file; return what stands in it."""
        tls = ensure_certificates(self._options.data)
        options = self._options
        fcm = self._listen("fcm", self.fcm.handle, options.fcm_port, tls)
        apns, sandbox = (
            self._listen(name, desk.handle, port, tls, only_http2=True, proves=desk.proves)
            for name, desk, port in (
                ("apns", self.apns, options.apns_port),
                ("apns_sandbox", self.apns_sandbox, options.apns_sandbox_port),
            )
        )
        webpush = self._listen("webpush", self.webpush.handle, options.webpush_port, tls)
        self._doors.update({"fcm": [fcm], "apns": [apns, sandbox], "webpush": [webpush]})
        for endpoint in (apns, sandbox):
            if endpoint.tls is not None:
                self.certificates.watch(endpoint.tls)
        control = self._listen(
            "control", self.control.handle, options.control_port, None, most_body=_MOST_CONTROL_BODY
        )
        self.oauth.url = f"https://127.0.0.1:{fcm.port}{TOKEN_PATH}"
        self.webpush.url = f"https://127.0.0.1:{webpush.port}"
        self.webpush.vapid.origins = frozenset({self.webpush.url, f"https://localhost:{webpush.port}"})
        await asyncio.gather(*(endpoint.start() for endpoint in self._endpoints))
        self.world.keep()
        if self._scenario is not None:
            await self._stage.set(self._scenario)
        ready = {
            "fcm_url": f"https://127.0.0.1:{fcm.port}",
            "apns_url": f"https://127.0.0.1:{apns.port}",
            "apns_sandbox_url": f"https://127.0.0.1:{sandbox.port}",
            "webpush_url": self.webpush.url,
            "oauth_url": self.oauth.url,
            "control_url": f"http://127.0.0.1:{control.port}",
            "ca_file": str(tls.ca.resolve()),
            "pid": os.getpid(),
        }
        partial = options.data / (READY_FILE + ".partial")
        partial.write_bytes(msgspec.json.encode(ready))
        partial.replace(options.data / READY_FILE)
        return ready

    def _listen(
        self, name: str, handler: Handler, port: int, tls: TlsFiles | None, **options: Any
    ) -> Endpoint:
        endpoint = None
        former = self.world.ports.get(name, 0)
        if not port and former:
            with contextlib.suppress(PortError):
                endpoint = Endpoint(handler, port=former, tls=tls, **options)
        endpoint = endpoint or Endpoint(handler, port=port, tls=tls, **options)
        self.world.ports[name] = endpoint.port
        self._endpoints.append(endpoint)
        return endpoint

    def _cut(self, provider: Provider) -> None:
        for endpoint in self._doors.get(provider, ()):
            asyncio.get_running_loop().call_soon(endpoint.cut)

    async def stop(self) -> None:
        """Close the sockets and the endpoints; remove the ready file."""
        (self._options.data / READY_FILE).unlink(missing_ok=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.gather(self.sockets.close(), self.pullers.stop(), self._stage.end())
        await asyncio.gather(*(endpoint.stop() for endpoint in self._endpoints))
        os.close(self._lock)


async def serve(options: Options) -> None:
    """Run until SIGTERM or Ctrl-C; print the ready file's content as one line once ready."""
    _allow_many_files()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = FleetServer(options)
    try:
        ready = await server.start()
        print(msgspec.json.encode(ready).decode(), flush=True)
        while not ended.is_set() and (options.parent is None or os.getppid() == options.parent):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), None if options.parent is None else 1.0)
    finally:
        await server.stop()


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartError(f"{folder} is in use by another fleet; stop it or choose another --data") from error
    return descriptor


def _allow_many_files() -> None:
    """A socket is a file; take as many as the system grants."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
