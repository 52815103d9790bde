"""A tiny hub: socket, stream, long poll and REST from a log in memory, and to a client what a network may do to it."""

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from html import escape
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlencode

from aiohttp import WSMsgType, web
from multidict import MultiMapping

from .page import render_device_page, static_folder

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'"
}
WIDGET_PAGE = """<!doctype html>
<html lang="{lang}" dir="{dir}"><head><meta charset="utf-8"><title>Corner Cinema</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/static/notifyhub/notifyhub-inbox.css">
<script src="/static/notifyhub/notifyhub.js"></script>
<script src="/static/notifyhub/notifyhub-inbox.js"></script>
<script src="/widget/start.js" defer></script></head>
<body><header><a href="/widget/">Home</a> <notifyhub-inbox{attributes}></notifyhub-inbox></header>
<main><h1>Corner Cinema</h1><p>Tonight: a film.</p><button type="button">Buy</button></main></body></html>"""
WIDGET_START = """
window.hub = NotifyHub.connect({url: "/ws/v1/", token: "token-1", times: {base: 50}});
document.querySelector("notifyhub-inbox").hub = window.hub;
"""
WAIT_SECONDS = 10.0
Frame: TypeAlias = dict[str, Any]
T = TypeVar("T")


@dataclass(eq=False)
class Connection:
    """One socket as the hub saw it."""

    number: int
    request: web.Request
    socket: web.WebSocketResponse | web.StreamResponse
    token: str | None
    frames: list[Frame] = field(default_factory=list)
    seq: int = 0
    open: bool = True
    close_code: int | None = None
    came_at: float = field(default_factory=time.monotonic)

    @property
    def transport(self) -> str:
        """How the client connected: websocket or stream."""
        return "websocket" if isinstance(self.socket, web.WebSocketResponse) else "stream"


class FakeHub:
    """Serves the page, its token and the socket on one free port of 127.0.0.1, from a thread of its own.

    A cursor is the count of the log's entries up to it. Every method may be called from the test's thread.
    """

    def __init__(self) -> None:
        self.log: list[Frame] = []
        self.connections: list[Connection] = []
        self.token = "token-1"
        self.tokens_given = 0
        self.device = "device-1"
        self.refusals: list[int] = []  # close codes for the next sockets, instead of hello
        self.silent = False  # True: read everything, say nothing
        self.blocked: set[str] = set()  # transports that a proxy on the way refuses
        self.held: set[str] = set()  # transports whose answers a proxy holds back
        self.retry_after = 0  # seconds; above 0: streams and polls are answered with 503
        self.polls: list[str] = []  # the queries of the long polls, in order
        self.receipts: list[Frame] = []  # what was posted to /api/v1/receipts, a kind at a time
        self.asked: list[tuple[str, str]] = []  # method and path of the other REST requests
        self.bodies: list[Frame] = []  # what they had in them, where it was something
        self.answers: dict[tuple[str, str], Any] = {}  # what they are answered with
        self.states: dict[str, str] = {}  # of entries, by id: read or archived
        self.recalled: list[str] = []  # runs
        self.states_asked: list[tuple[list[str], list[str]]] = []  # ids and runs, whose states were asked for
        self.preferences: Frame = {"consent": True, "categories": []}
        self.broken = False  # True: every REST request is answered with 503
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-hub", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.port: int = self._run(self._serve())

    def stop(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def page_url(self) -> str:
        """The demo subscriber's page."""
        return f"http://127.0.0.1:{self.port}/demo/"

    @property
    def blank_url(self) -> str:
        """A page with nothing but the client."""
        return f"http://127.0.0.1:{self.port}/blank/"

    def widget_url(self, **more: str) -> str:
        """A page with the inbox widget; `dir`, `lang` and attributes of the element may be given."""
        return f"http://127.0.0.1:{self.port}/widget/?" + urlencode(more)

    # -- what the hub does to its clients

    def push(self, title: str, *, to: int | None = None, **fields: Any) -> str:
        """Log a notification, send it to every open socket (or only to connection `to`) and return its id."""
        entry = {
            "id": str(uuid.uuid4()),
            "position": str(len(self.log) + 1),
            "kind": "notification",
            "run": "run-1",
            "title": title,
            "body": "",
            "link": "",
            "image": "",
            "data": {},
            "sent_at": "2026-11-24T09:30:00Z",
        } | fields
        self.log.append(entry)
        self._run(self._broadcast(lambda connection: self._entries(connection, [entry]), to=to))
        self._loop.call_soon_threadsafe(self._wake)
        return str(entry["id"])

    def repeat(self, *ids: str) -> None:
        """Send entries again."""
        again = [entry for entry in self.log if entry["id"] in ids]
        self._run(self._broadcast(lambda connection: self._entries(connection, again)))

    def say(self, frame: Frame | str | bytes) -> None:
        """Send a frame, or text or bytes as they stand, to every open socket."""
        self._run(self._broadcast(lambda connection: self._send(connection, frame)))

    def lose_frame(self) -> None:
        """Log a notification and send its frame to every open socket with half of it missing."""
        self.log.append({"id": str(uuid.uuid4()), "kind": "notification", "run": "run-1", "title": "lost"})

        async def half(connection: Connection) -> None:
            connection.seq += 1
            await self._send(connection, f'{{"type":"entries","seq":{connection.seq},"entries":[{{"id"')

        self._run(self._broadcast(half))

    def cut(self) -> None:
        """Break every connection without a word, as a pulled cable does (the client sees 1006)."""

        async def abort(connection: Connection) -> None:
            transport = connection.request.transport
            if transport is not None:
                transport.abort()

        self._run(self._broadcast(abort))

    def close(self, code: int, *, to: int | None = None) -> None:
        """Close every open socket (or only connection `to`) with `code`."""

        self._run(self._broadcast(lambda connection: self._close_socket(connection, code), to=to))

    # -- what the test waits for

    def wait_until(self, look: Callable[[], T], what: str = "the condition") -> T:
        """Return what `look` gives as soon as it is true; asserts that this happens within ten seconds."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(look()), WAIT_SECONDS), (
                f"{what} did not come; {self.story()}"
            )
            return look()

    def wait_for_frame(self, kind: str, /, **fields: Any) -> tuple[Connection, Frame]:
        """Return the first frame of this type with these fields, and its connection."""

        def look() -> tuple[Connection, Frame] | None:
            for connection in self.connections:
                for frame in connection.frames:
                    if frame["type"] == kind and fields.items() <= frame.items():
                        return connection, frame
            return None

        found = self.wait_until(look, f"a frame {kind} {fields}")
        assert found is not None
        return found

    def wait_for_connection(self, number: int) -> Connection:
        """Return the connection with this number (the first is 1) once it has sent its first frame."""
        self.wait_until(
            lambda: len(self.connections) >= number and self.connections[number - 1].frames, "a connection"
        )
        return self.connections[number - 1]

    def frames(self, kind: str) -> list[Frame]:
        """All frames of one type, over all connections."""
        return [
            frame for connection in self.connections for frame in connection.frames if frame["type"] == kind
        ]

    def story(self) -> str:
        """Return all that the clients said, for a failing test."""
        return (
            "; ".join(f"{c.number}: {c.frames} closed {c.close_code}" for c in self.connections)
            or "nobody came"
        )

    # -- inside the thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(WAIT_SECONDS)

    def _note(self, change: Callable[[], Any]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    async def _serve(self) -> int:
        self._grown: asyncio.Future[None] = self._loop.create_future()
        app = web.Application()
        app.router.add_get("/demo/", self._page)
        app.router.add_get("/blank/", self._blank)
        app.router.add_post("/demo/token/", self._token)
        app.router.add_get("/widget/", self._widget)
        app.router.add_get("/widget/start.js", self._widget_start)
        app.router.add_get("/notifyhub-sw.js", self._worker)
        app.router.add_get("/ws/v1/", self._socket)
        app.router.add_get("/api/v1/inbox/stream", self._stream)
        app.router.add_get("/api/v1/inbox", self._poll)
        app.router.add_post("/api/v1/receipts", self._receipts)
        app.router.add_route("*", "/api/v1/{path:.*}", self._rest)
        app.router.add_static("/static/notifyhub/", static_folder())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _end(self) -> None:
        server = self._runner.server
        assert server is not None
        transports = [one.transport for one in server.connections if one.transport is not None]
        await self._runner.cleanup()
        for transport in transports:
            transport.abort()
        for _ in range(3):  # in the next turns of the loop they are closed
            await asyncio.sleep(0)

    async def _page(self, request: web.Request) -> web.Response:
        html = render_device_page(
            socket_path="/ws/v1/",
            token_url="/demo/token/",
            subscriber="Amina Okafor",
            application="Corner Cinema",
        )
        return web.Response(text=html, content_type="text/html", headers=PAGE_HEADERS)

    async def _blank(self, request: web.Request) -> web.Response:
        html = '<!doctype html><title>blank</title><script src="/static/notifyhub/notifyhub.js"></script>'
        return web.Response(text=html, content_type="text/html")

    async def _widget(self, request: web.Request) -> web.Response:
        given = dict(request.query)
        page = {name: given.pop(name, default) for name, default in (("dir", "ltr"), ("lang", "en"))}
        attributes = "".join(f' {name}="{escape(value)}"' for name, value in given.items())
        html = WIDGET_PAGE.format(**page, attributes=attributes)
        return web.Response(text=html, content_type="text/html", headers=PAGE_HEADERS)

    async def _widget_start(self, request: web.Request) -> web.Response:
        return web.Response(text=WIDGET_START, content_type="text/javascript")

    async def _worker(self, request: web.Request) -> web.Response:
        line = 'importScripts("/static/notifyhub/notifyhub-sw.js");'
        return web.Response(text=line, content_type="text/javascript")

    async def _token(self, request: web.Request) -> web.Response:
        self._note(lambda: setattr(self, "tokens_given", self.tokens_given + 1))
        return web.json_response({"token": self.token})

    # -- over plain HTTP

    def _refusal(self, request: web.Request, transport: str) -> web.Response | None:
        if transport in self.blocked:
            return web.Response(status=403, text="Blocked by your administrator")
        if self.retry_after:
            return web.Response(status=503, headers={"Retry-After": str(self.retry_after)})
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"type": "/problems/not-authenticated", "title": "No"}, status=401)
        return None

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request, "stream"):
            return refusal
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        connection = Connection(len(self.connections) + 1, request, response, self.token)
        connection.frames.append({"type": "resume", "cursor": request.query.get("after")})
        await response.prepare(request)
        self._note(lambda: self.connections.append(connection))
        try:
            if "stream" not in self.held:
                await response.write(b":\n\n")
                await self._greet(connection, request.query.get("after"))
            while connection.open and request.transport is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await asyncio.shield(self._grown)
        finally:
            self._note(lambda: setattr(connection, "open", False))
        return response

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request, "poll"):
            return refusal
        self._note(lambda: self.polls.append(request.query_string))
        start = int(request.query.get("after") or len(self.log))
        if not self.log[start:] and (wait := float(request.query["wait"])):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await asyncio.shield(self._grown)
        found = {"entries": self.log[start:], "cursor": str(len(self.log)), "next": None, "recovered": True}
        return web.json_response({**found, "poll_after_ms": 0, "device": self.device})

    async def _receipts(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"type": "/problems/not-authenticated", "title": "No"}, status=401)
        said = (await request.json())["receipts"]
        self._note(lambda: self.receipts.extend(said))
        return web.json_response({"recorded": len(said)}, status=202)

    async def _rest(self, request: web.Request) -> web.Response:
        what = (request.method, request.match_info["path"])
        if request.can_read_body:
            body = await request.json()
            self._note(lambda: self.bodies.append(body))
        self._note(lambda: self.asked.append(what))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"type": "/problems/not-authenticated", "title": "No"}, status=401)
        if self.broken:
            return web.json_response({"title": "Away", "status": 503}, status=503)
        if what == ("GET", "inbox/latest"):
            return web.json_response(self._latest(request.query))
        if what == ("GET", "inbox/marks") and what not in self.answers:
            return web.json_response(self._states(request.query))
        if what == ("POST", "inbox/marks"):
            return web.json_response({"marked": self._mark(await request.json())})
        if what[1] == "preferences":
            if request.method == "PATCH":
                self._choose(await request.json())
            return web.json_response(self.preferences)
        return web.json_response(self.answers[what])

    def _latest(self, query: Mapping[str, str]) -> Frame:
        there = [
            {**entry, "state": self.states.get(entry["id"], "unread")}
            for entry in reversed(self.log)
            if self.states.get(entry["id"]) != "archived"
        ]
        start, limit = int(query.get("before", 0)), int(query["limit"])
        unread = sum(entry["state"] == "unread" for entry in there)
        older = start + limit if len(there) > start + limit else None
        first = {"unread": min(unread, 99), "more_unread": unread > 99}
        return {
            "entries": there[start : start + limit],
            "before": older and str(older),
            **(first if not start else dict.fromkeys(first)),
        }

    def _states(self, query: MultiMapping[str]) -> Frame:
        ids, runs = query.getall("id"), query.getall("run")
        self._note(lambda: self.states_asked.append((ids, runs)))
        states = {one: self.states.get(one, "unread") for one in ids}
        return {"states": states, "recalled": [run for run in self.recalled if run in runs]}

    def _mark(self, said: Frame) -> list[str]:
        ids = said.get("ids") or [
            one["id"] for one in self.log if self.states.get(one["id"], "unread") == "unread"
        ]
        self._note(lambda: self.states.update(dict.fromkeys(ids, said["state"])))
        return list(ids)

    def _choose(self, said: Frame) -> None:
        def choose() -> None:
            self.preferences["consent"] = said.get("consent", self.preferences["consent"])
            for category in self.preferences["categories"]:
                category["allowed"] = said.get("categories", {}).get(category["key"], category["allowed"])

        self._note(choose)

    def _wake(self) -> None:
        """Tell every long poll that there is something to read."""
        grown, self._grown = self._grown, self._loop.create_future()
        grown.set_result(None)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if "websocket" in self.blocked:
            return web.Response(status=403, text="Blocked by your administrator")
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        tokens = [
            name.removeprefix("notifyhub.auth.") for name in offered if name.startswith("notifyhub.auth.")
        ]
        socket = web.WebSocketResponse(protocols=["notifyhub.v1"])
        await socket.prepare(request)
        number = len(self.connections) + 1
        connection = Connection(
            number=number, request=request, socket=socket, token=tokens[0] if tokens else None
        )
        self._note(lambda: self.connections.append(connection))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(connection, json.loads(message.data))
        finally:
            connection.open = False
            self._note(lambda: setattr(connection, "close_code", socket.close_code))
        return socket

    async def _answer(self, connection: Connection, frame: Frame) -> None:
        first = not connection.frames
        self._note(lambda: connection.frames.append(frame))
        if self.silent:
            return
        if frame["type"] == "ping":
            await self._send(connection, {"type": "pong"})
        if not first:
            return
        if self.refusals:
            await self._close_socket(connection, self.refusals.pop(0))
        elif (connection.token or frame.get("token")) != self.token:
            await self._close_socket(connection, 4401)
        else:
            await self._greet(connection, frame["cursor"])

    async def _greet(self, connection: Connection, cursor: str | None) -> None:
        start = len(self.log) if cursor is None else int(cursor)
        hello = {"type": "hello", "device": self.device, "node": "node-1", "cursor": str(start)}
        await self._send(connection, hello | {"recovered": cursor is not None})
        if self.log[start:]:
            await self._entries(connection, self.log[start:])

    async def _entries(self, connection: Connection, entries: list[Frame]) -> None:
        connection.seq += 1
        frame = {"type": "entries", "seq": connection.seq, "entries": entries, "cursor": str(len(self.log))}
        await self._send(connection, frame)

    async def _broadcast(
        self, act: Callable[[Connection], Coroutine[Any, Any, None]], *, to: int | None = None
    ) -> None:
        for connection in self.connections:
            if connection.open and to in (None, connection.number):
                await act(connection)

    async def _close_socket(self, connection: Connection, code: int) -> None:
        if isinstance(connection.socket, web.WebSocketResponse):
            await connection.socket.close(code=code)
        else:
            await self._send(connection, {"type": "closed", "code": code})
            connection.open = False

    async def _send(self, connection: Connection, frame: Frame | str | bytes) -> None:
        text = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        if not isinstance(connection.socket, web.WebSocketResponse):
            with contextlib.suppress(ConnectionResetError):  # a cut that this side has not seen yet
                await connection.socket.write(
                    b"data: " + (text if isinstance(text, bytes) else text.encode()) + b"\n\n"
                )
        elif isinstance(text, bytes):
            await connection.socket.send_bytes(text)
        else:
            await connection.socket.send_str(text)
