"""Lines over plain HTTP, for devices whose network or engine has no WebSocket: Server-Sent Events, and the long poll.

    GET /api/v1/inbox/stream?after=<cursor>   text/event-stream: the frames of the WebSocket as events, each with the
                                              cursor as its id; `Last-Event-ID` goes on behind it
    GET /api/v1/inbox?after=<cursor>&wait=25  the answer of `/api/v1/inbox`, as soon as there is something to read

Both show their subscriber token in `Authorization: Bearer`; what they have stored they say to `/api/v1/receipts`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from delivery import inbox, positions
from delivery.node import frames, lookups
from delivery.node.admission import Refusal
from delivery.node.consumer import LIFETIME_SHARE
from delivery.node.database import blocking
from delivery.node.session import Session
from delivery.node.table import node
from delivery.node.wire import CLOSE_SECONDS, HttpWay
from devices import addresses, tokens
from devices.problem_values import Problem
from devices.tokens import Identity

log = structlog.get_logger(__name__)

STREAM_PATH = "/api/v1/inbox/stream"
POLL_PATH = "/api/v1/inbox"
MOST_WAIT = 55.0
"""Seconds: proxies cut what is silent for a minute."""
BEAT_SECONDS = 20.0
"""A comment goes over a stream so often, or a device and the proxies between would take it for dead."""
STREAM_BYTES = 4_000_000
"""After so many a stream is asked to move: engines without EventSource keep all that came in one text."""
STREAM_SECONDS = 600
GATHER_SECONDS = 0.02
"""A long poll that has something waits so long for more of it."""

_json = msgspec.json.Encoder().encode
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After"),
    (b"cache-control", b"no-store"),
]


def serves(scope: dict[str, Any]) -> bool:
    """Return whether a request is for a line here."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    path = scope["path"].rstrip("/")
    return path == STREAM_PATH or (path == POLL_PATH and b"wait=" in scope.get("query_string", b""))


async def lines(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve a stream or a long poll."""
    given = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")[:2_048]))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
    address = addresses.of_scope(scope)
    here = node()
    if refusal := here.admission.ask(address):
        return await _full(send, refusal)
    here.start()
    identity, shown_at = None, time.monotonic()
    try:
        identity = await _identify(headers, send)
        if identity is None:
            return
        here.admission.opened()
        if scope["path"].rstrip("/") == STREAM_PATH:
            cursor = headers.get("last-event-id") or given.get("after")
            await _Stream(identity, shown_at, receive, send).run(cursor)
        else:
            await _poll(identity, shown_at, given, receive, send)
    finally:
        here.admission.gone(address, opened=identity is not None)


async def _identify(headers: dict[str, str], send: Send) -> Identity | None:
    """Return whose device asks; None when it was told that it may not."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise tokens.TokenError("This address needs a subscriber token: “Authorization: Bearer …”.")
        return await lookups.identify((token.strip(), headers.get("origin", "")))
    except tokens.TokenError as error:
        await _problem(send, 401, "not-authenticated", "Show a subscriber token", str(error))
    except lookups.OriginError as error:
        await _problem(send, 403, "origin-refused", "The origin was refused", str(error))
    except Exception as error:
        log.error("node.not_identified", error=repr(error))
        await _problem(send, 503, "away", "Not now", "The database does not answer; try again.", wait=5)
    return None


# -- Server-Sent Events


class _Stream:
    """One device's event stream. It is a wire and a line."""

    def __init__(self, identity: Identity, shown_at: float, receive: Receive, send: Send) -> None:
        self.identity: Identity | None = identity
        self.shown_at = shown_at
        self._session = Session(identity, self, node=node(), close=self.end, listens=False)
        self._receive = receive
        self._send = send
        self._queue: list[bytes] = []
        self._queued = 0
        self._more = asyncio.Event()
        self._way = HttpWay(send)
        self._sent = 0
        now = time.monotonic()
        self._expires = now + identity.expires_at - time.time()
        self._until = now + STREAM_SECONDS * (1 + random.uniform(-LIFETIME_SHARE, LIFETIME_SHARE))
        self._ended = False

    async def run(self, cursor: str | None) -> None:
        """Stream until the device leaves or has to."""
        here = node()
        headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no"), *CORS]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        session = self._session
        gone = asyncio.ensure_future(_gone(self._receive))
        writing = asyncio.ensure_future(self._pump())
        try:
            here.lines.enter(self, min(self._expires, self._until))
            await session.begin(cursor)
            await asyncio.wait([gone, writing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            here.lines.leave(self)
            session.end()
            for task in (gone, writing):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _pump(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._more.wait()
            self._more.clear()
            body, self._queue, self._queued = b"".join(self._queue) or b":\n\n", [], 0
            self._sent += len(body)
            await self._send({"type": "http.response.body", "body": body, "more_body": not self._ended})
            if self._ended:
                return
            if self._sent > STREAM_BYTES:
                self.move(0.0)

    # -- the wire

    def write(self, payload: bytes) -> None:
        """Write a frame as an event; its cursor, where it has one, is the event's id."""
        if self._ended:
            return
        at = payload.find(b'"cursor":"', 0, 200)
        named = b""
        if at > 0:
            named = b"id: " + payload[at + 10 : payload.index(b'"', at + 10)] + b"\n"
        self._queue.append(named + b"data: " + payload + b"\n\n")
        self._queued += len(payload)
        self._more.set()

    @property
    def waiting(self) -> int:
        """Return how many bytes the device's system has not taken yet, as far as the server shows."""
        return self._queued + self._way.waiting

    def listen(self, take: Callable[[bytes], bool] | None) -> None:
        """Do nothing: nothing comes this way."""

    def close(self, code: int) -> None:
        """End the stream, with a last event that says why."""
        self.end(code)

    # -- the line

    def end(self, code: int) -> None:
        """End the stream, with a last event that says why."""
        if not self._ended:
            self.write(frames.closed(code))
            self._ended = True
            self._more.set()
            if code == frames.TRY_AGAIN_LATER:
                # others take their end, and may ask for something else on the same connection
                asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._way.abort)

    def look(self, now: float) -> float | None:
        """End a stream that outlives its token or its time."""
        if self._ended:
            return None
        if now >= self._expires:
            self.end(frames.TOKEN_REFUSED)
        elif now >= self._until:
            self.move(0.0)
        return None if self._ended else min(self._expires, self._until)

    def move(self, within: float) -> None:
        """End the stream: its device comes back by itself, behind the last event."""
        self.write(frames.reconnect(int(random.uniform(0, max(within, 1.0)) * 1000)))
        self.end(frames.MOVE)


# -- the long poll


class _Poll:
    """A long poll that waits. It is a wire and a line: anything written ends the wait."""

    waiting = 0

    def __init__(self, identity: Identity, shown_at: float) -> None:
        self.identity: Identity | None = identity
        self.shown_at = shown_at
        self.refused = False
        self.something = asyncio.Event()

    def write(self, payload: bytes) -> None:
        """End the wait, unless it is only the greeting."""
        if not payload.startswith(b'{"type":"hello"'):
            self.something.set()

    def listen(self, take: Callable[[bytes], bool] | None) -> None:
        """Do nothing: nothing comes this way."""

    def close(self, code: int) -> None:
        """End the wait."""
        self.something.set()

    def end(self, code: int) -> None:
        """End the wait; with a token that is not believed any more, the answer says so."""
        self.refused = code == frames.TOKEN_REFUSED
        self.something.set()

    def look(self, now: float) -> float | None:
        """End the wait: its time is over."""
        self.something.set()
        return None

    def move(self, within: float) -> None:
        """End the wait: the device comes back by itself."""
        self.something.set()


async def _poll(
    identity: Identity, shown_at: float, given: dict[str, str], receive: Receive, send: Send
) -> None:
    """Answer as the inbox does; when there is nothing to read, as soon as there is, or when the wait is over."""
    try:
        wait = min(float(given.get("wait") or 0), MOST_WAIT)
        limit = int(given.get("limit") or inbox.MOST)
        if not (wait >= 0 and 1 <= limit <= inbox.MOST):
            raise ValueError
        # without a cursor it waits as a socket does: behind what the device has acknowledged
        after = given.get("after") or positions.encode(await lookups.durable_cursor(identity.device_uid))
        found = await _read(identity, after, limit)
    except positions.CursorError as error:
        return await _problem(send, 400, "invalid", "The cursor is wrong", str(error))
    except ValueError:
        detail = f"wait is seconds from 0 to {MOST_WAIT:g}, limit 1 to {inbox.MOST}."
        return await _problem(send, 400, "invalid", "The request is wrong", detail)
    if not found["entries"] and wait:
        poll = _Poll(identity, shown_at)
        await _wait(poll, identity, found["cursor"], wait, receive)
        if poll.refused:
            detail = "This token was revoked, or its device is registered no more."
            return await _problem(send, 401, "not-authenticated", "Show a subscriber token", detail)
        found = await _read(identity, found["cursor"], limit)
    # who waited for the answer may ask at once
    body = _json({**found, "poll_after_ms": 0, "device": str(identity.device_uid)})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *CORS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _wait(poll: _Poll, identity: Identity, cursor: str, seconds: float, receive: Receive) -> None:
    """Return when there is something behind the cursor, the time is over, or nobody waits any more."""
    here = node()
    # what stands in the log already is read once more, after presence: an entry may have come in between
    session = Session(identity, poll, node=here, close=poll.close, listens=False)
    gone = asyncio.ensure_future(_gone(receive))
    something = asyncio.ensure_future(poll.something.wait())
    try:
        # no longer than its token
        seconds = min(seconds, identity.expires_at - time.time())
        here.lines.enter(poll, time.monotonic() + seconds)
        await session.begin(cursor)
        await asyncio.wait([gone, something], return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            await asyncio.sleep(GATHER_SECONDS)
    finally:
        here.lines.leave(poll)
        session.end()
        gone.cancel()
        something.cancel()


@blocking
def _read(identity: Identity, after: str | None, limit: int) -> dict[str, Any]:
    return inbox.read(identity.subscriber_uid, platform=identity.platform, after=after, limit=limit)


# -- answers


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _full(send: Send, refusal: Refusal) -> None:
    detail = "This server takes no more lines at the moment; come back after the time in Retry-After."
    await _problem(send, 503, f"lines-{refusal.reason}", "No room", detail, wait=refusal.retry_after)


async def _problem(send: Send, status: int, kind: str, title: str, detail: str, *, wait: int = 0) -> None:
    """Answer with problem details (RFC 9457)."""
    body = _json(Problem(status, kind, title, detail).as_dict())
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body)), *CORS]
    if wait:
        headers.append((b"retry-after", b"%d" % wait))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="notifyhub"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
