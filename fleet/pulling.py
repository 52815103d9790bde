"""Devices that hold no socket, as a Roku's screensaver: they ask the hub's inbox now and then, and keep the cursor."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import Counter
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import msgspec

from fleet.sockets import Pair
from fleet.world import World

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_TIMEOUT = 90.0
_AT_A_TIME = 200
_MOST_ANSWER = 16 << 20

State = Literal["waiting", "asking", "refused"]


class Puller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices to start: each asks `url` (the inbox) every `interval_ms`, shortened or lengthened by up to `jitter`."""

    url: str
    tokens: list[Pair]
    interval_ms: Annotated[float, msgspec.Meta(ge=1, le=86_400_000)] = 30_000
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class _Entry(msgspec.Struct, gc=False):
    id: str
    kind: str = "notification"
    run: str = ""
    title: str = ""
    body: str = ""
    tag: str = ""


class _Inbox(msgspec.Struct, gc=False):
    entries: list[_Entry]
    cursor: str
    next: str | None = None


_decode = msgspec.json.Decoder(_Inbox).decode


class PullError(Exception):
    """A pull that brought nothing; `retry_after` in seconds where the hub named it."""

    def __init__(self, text: str, *, refused: bool = False, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.refused = refused
        self.retry_after = retry_after


class PullDevice:
    """One device; `cursor` is what the hub gave last, and what it asks behind."""

    def __init__(self, world: World, *, plan: Puller, pair: Pair, gate: asyncio.Semaphore) -> None:
        self._world = world
        self._plan = plan
        self._token = pair.token
        self._gate = gate
        self.number = world.devices.named("inbox", pair.device)
        self.state: State = "waiting"
        self.cursor = ""
        self.pulls = 0
        self.failures = 0
        self._failed_in_a_row = 0
        self._task = asyncio.create_task(self._live())

    async def close(self) -> None:
        """Stop asking."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _live(self) -> None:
        # The first pull comes at a random point of the interval, so that a fleet's pulls are spread.
        wait = random.uniform(0, self._interval())
        while True:
            await asyncio.sleep(wait)
            try:
                await self._pull()
                self._failed_in_a_row = 0
                wait = self._interval() * random.uniform(1 - self._plan.jitter, 1 + self._plan.jitter)
            except PullError as error:
                if error.refused:
                    self.state = "refused"
                    return
                wait = self._backoff() if error.retry_after is None else error.retry_after
            except (OSError, TimeoutError, EOFError, ValueError, msgspec.MsgspecError):
                wait = self._backoff()
            self.state = "waiting"

    def _interval(self) -> float:
        return self._plan.interval_ms / 1000

    def _backoff(self) -> float:
        """Full jitter: anything up to a bound that doubles."""
        self.failures += 1
        self._failed_in_a_row += 1
        return random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(self._failed_in_a_row, 10)))

    async def _pull(self) -> None:
        """Ask until there is no more at once."""
        after: str | None = self.cursor
        while after is not None:
            async with self._gate:
                self.state = "asking"
                body = await _get(self._plan, self._token, after)
            self.pulls += 1
            inbox = _decode(body)
            for entry in inbox.entries:
                self._store(entry)
            self.cursor, after = inbox.cursor, inbox.next

    def _store(self, entry: _Entry) -> None:
        if entry.kind == "notification":
            self._world.record.accept(
                "inbox",
                self.number,
                run=entry.run,
                notification=entry.id,
                identity=entry.tag or entry.id,
                title=entry.title,
                body=entry.body,
            )


class Pullers:
    """All devices of the fleet that pull."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._devices: dict[int, PullDevice] = {}
        self._gate = asyncio.Semaphore(_AT_A_TIME)

    async def start(self, plan: Puller) -> int:
        """Start a device for each token; one that runs already begins anew with its cursor. Returns how many."""
        if urlsplit(plan.url).scheme not in ("http", "https"):
            raise ValueError(f"url: must begin with http:// or https://, got {plan.url!r}")
        for pair in plan.tokens:
            device = PullDevice(self._world, plan=plan, pair=pair, gate=self._gate)
            former = self._devices.get(device.number)
            self._devices[device.number] = device
            if former is not None:
                device.cursor = former.cursor
                await former.close()
        return len(plan.tokens)

    async def stop(self) -> int:
        """Stop all; return how many."""
        devices = list(self._devices.values())
        self._devices.clear()
        await asyncio.gather(*(device.close() for device in devices))
        return len(devices)

    def report(self) -> dict[str, Any]:
        """Count devices by state, pulls and failed pulls."""
        devices = self._devices.values()
        return {
            "total": len(devices),
            "pulls": sum(device.pulls for device in devices),
            "failures": sum(device.failures for device in devices),
            "by_state": dict(Counter(device.state for device in devices)),
        }


async def _get(plan: Puller, token: str, after: str) -> bytes:
    """Return the body of one request over a connection of its own, as such devices do. Raises `PullError`."""
    place = urlsplit(plan.url)
    secure = ssl.create_default_context() if place.scheme == "https" else None
    port = place.port or (443 if secure else 80)
    async with asyncio.timeout(_TIMEOUT):
        reader, writer = await asyncio.open_connection(place.hostname, port, ssl=secure)
        try:
            query = f"limit={plan.limit}" + (f"&after={quote(after)}" if after else "")
            writer.write(
                f"GET {place.path or '/'}?{query} HTTP/1.1\r\nhost: {place.netloc}\r\n"
                f"authorization: Bearer {token}\r\naccept: application/json\r\nconnection: close\r\n\r\n".encode()
            )
            whole = await reader.read(_MOST_ANSWER)
            while part := await reader.read(_MOST_ANSWER):
                whole += part
                if len(whole) > _MOST_ANSWER:
                    raise PullError("the answer is too large")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return _body(whole)


def _body(whole: bytes) -> bytes:
    """Return the body of a whole answer. Raises `PullError` for any status but 200."""
    head, found, body = whole.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = lines[0].split(" ")[1] if found and " " in lines[0] else ""
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if status != "200":
        wait = headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else None
        raise PullError(f"status {status}", refused=status in ("401", "403"), retry_after=seconds)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _unchunked(body)
    if int(headers.get("content-length", len(body))) != len(body):
        raise PullError("the answer broke off")
    return body


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            return b"".join(parts)
        parts.append(rest[:length])
        body = rest[length + 2 :]
    raise PullError("the answer broke off")
