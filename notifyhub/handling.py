"""Django's share of HTTP: each request is worked whole in one thread, which keeps its database connections.

Django's own ASGI handler makes a thread for every request and goes back and forth between it and the event loop for
the signals, the middleware and the view: most of what a small request costs.
"""

import asyncio
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.core.signals import request_started
from django.db import connections
from django.http import FileResponse, HttpResponseBase
from django.http.response import StreamingHttpResponse
from django.urls import set_script_prefix

from delivery.node import database

MOST_WAITING = 1_000
"""Requests that may wait for a thread; the next is refused at once."""
RETRY_AFTER = 2
"""Seconds after which who was refused may come again."""
BUSY = b'{"type":"about:blank","title":"The hub is busy","status":503,"detail":"Too many requests wait; try again."}'


class Handler(ASGIHandler):
    """The ASGI application of everything that is not a device's line."""

    def __init__(self) -> None:
        BaseHandler.__init__(self)
        self.load_middleware(is_async=False)
        self._room = max(1, settings.WEB_CONNECTIONS - database.THREADS)
        self._threads = ThreadPoolExecutor(self._room, thread_name_prefix="request")
        self._under_way = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._under_way >= self._room + MOST_WAITING:
            return await _refuse(send)
        self._under_way += 1
        try:
            try:
                body = await self.read_body(receive)
            except RequestAborted:
                return
            loop = asyncio.get_running_loop()
            line = _Line(loop, receive, send)
            for message in await loop.run_in_executor(self._threads, self._worked, scope, body, line):
                await send(message)
        finally:
            self._under_way -= 1

    def _worked(self, scope: Any, body: IO[bytes], line: "_Line") -> list[dict[str, Any]]:
        """Work a request in the present thread; return the messages that are still to be sent."""
        _drop_what_ended()
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = self.__class__
        try:
            start = {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": list(_headers(response)),
            }
            if isinstance(response, StreamingHttpResponse):
                self._stream(response, start, line)
                return []
            return [start, {"type": "http.response.body", "body": response.content}]
        finally:
            response.close()
            body.close()

    def _stream(self, response: StreamingHttpResponse, start: dict[str, Any], line: "_Line") -> None:
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        line.send(start)
        for part in response:
            for chunk, _ in self.chunk_bytes(part):
                line.send({"type": "http.response.body", "body": chunk, "more_body": True})
            if line.gone:
                return
        line.send({"type": "http.response.body"})


class _Line:
    """The way back to a caller from the thread that works their request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Any, send: Any) -> None:
        self._loop = loop
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[None] | None = None
        self.gone = False
        """whether the caller has hung up, known from the first message on"""

    def send(self, message: dict[str, Any]) -> None:
        """Send a message and wait until the server has taken it."""
        asyncio.run_coroutine_threadsafe(self._sent(message), self._loop).result()

    async def _sent(self, message: dict[str, Any]) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._watched())
        await self._send(message)
        if not message.get("more_body", True):
            self._watch.cancel()

    async def _watched(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True


def _headers(response: HttpResponseBase) -> Iterator[tuple[bytes, bytes]]:
    for name, value in response.items():
        yield name.encode("ascii"), value.encode("latin1")
    for cookie in response.cookies.values():
        yield b"Set-Cookie", cookie.output(header="").encode("ascii").strip()


def _drop_what_ended() -> None:
    """Close connections that the database has ended since they were last used, as when it was restarted.

    To ask it each time would cost a round trip; what it has ended can be read from, and nothing else can.
    """
    for connection in connections.all(initialized_only=True):
        raw: Any = connection.connection
        if raw is not None and connection.vendor == "postgresql" and not raw.closed:
            watch = select.poll()
            watch.register(raw.fileno(), select.POLLIN)
            if watch.poll(0):
                connection.close()


async def _refuse(send: Any) -> None:
    headers = [
        (b"Content-Type", b"application/problem+json"),
        (b"Retry-After", str(RETRY_AFTER).encode()),
    ]
    await send({"type": "http.response.start", "status": HTTPStatus.SERVICE_UNAVAILABLE, "headers": headers})
    await send({"type": "http.response.body", "body": BUSY})
