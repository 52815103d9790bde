"""The WebSocket of a run's page: the numbers as they change, for members of the staff who may see the run.

It stands at its own path and is believed by the session's cookie; a device's socket never reads cookies. The database
is asked once a second for a run, however many look at it in this process, and in one thread for all runs; and at once
when an action was taken on it, in whichever process (`delivery/news.py`).
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from django.http import Http404, HttpRequest
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host
from django.template.loader import render_to_string
from django.utils import timezone, translation

from delivery import news
from delivery.admin.run_numbers import numbers
from delivery.models import Run
from devices.viewer_zone import browser_zone

log = structlog.get_logger(__name__)

EVERY = 1.0
"""Seconds between two looks at a run."""
LEAST = 0.1
"""Seconds between them at least, whatever is told; twice what a look takes where that is longer."""
ASK_AGAIN = 5.0
"""Seconds after which it is asked again whether a viewer is still signed in and a member."""
STILL = 20.0
"""Seconds after which a viewer hears that nothing has changed."""
MOST = 200
"""Viewers of one process."""
SAID = 20
"""Messages that a viewer may send: the page sends none."""
REFUSED, ENDED, TOO_MANY = 4403, 1000, 4408

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_thread = ThreadPoolExecutor(1, thread_name_prefix="run-pages")


class Shown(NamedTuple):
    """What viewers of one run share: a page in one language and time zone, with the buttons they may press."""

    run: int
    language: str
    may_press: frozenset[str]
    zone: str = ""
    application: int = 0


class Watch:
    """One look a second, and at once when something was done, for all who look at the same."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.viewers: set[asyncio.Queue[str]] = set()
        self.told = asyncio.Event()
        self._last: str | None = None
        self._task: asyncio.Task[None] | None = None

    def join(self) -> "asyncio.Queue[str]":
        """Return a queue that holds the newest frame only."""
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self.viewers.add(queue)
        if self._last is not None:
            queue.put_nowait(self._last)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())
        return queue

    def leave(self, queue: "asyncio.Queue[str]") -> None:
        """Forget a viewer; without any the looking ends."""
        self.viewers.discard(queue)
        if not self.viewers and self._task is not None:
            self._task.cancel()
            _watches.pop(self.shown, None)
            _hear_as_needed()

    async def _look(self) -> None:
        while True:
            begun = time.monotonic()
            self.told.clear()
            try:
                frame = await _apart(look, self.shown)
            except Exception as error:
                log.warning("run_page.not_read", run=self.shown.run, error=repr(error))
                frame = None
            if frame is not None and frame != self._last:
                self._last = frame
                for queue in self.viewers:
                    if queue.full():
                        queue.get_nowait()
                    queue.put_nowait(frame)
            spent = time.monotonic() - begun
            least = max(LEAST, 2 * spent)
            await asyncio.sleep(least)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY - spent - least):
                    await self.told.wait()


_watches: dict[Shown, Watch] = {}
_open = 0
_hearing: asyncio.Task[None] | None = None


def _hear_as_needed() -> None:
    """Listen for actions as long as there are viewers."""
    global _hearing
    if _watches and (_hearing is None or _hearing.done()):
        _hearing = asyncio.get_running_loop().create_task(news.listen(_heard))
    elif not _watches and _hearing is not None:
        _hearing.cancel()
        _hearing = None


def _heard(said: dict[str, int]) -> None:
    for watch in _watches.values():
        if watch.shown.run == said.get("run") or watch.shown.application == said.get("application"):
            watch.told.set()


async def run_socket(scope: Any, receive: Receive, send: Send) -> None:
    """Serve one viewer of one run; whoever may not see it is refused before the socket opens (403)."""
    global _open
    await receive()
    run = int(scope["url_route"]["kwargs"]["run"])
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    shown = None
    if _open < MOST and same_origin(headers, secure=scope.get("scheme") == "wss"):
        shown = await _apart(viewer_of, headers.get(b"cookie", ""), run, language_of(scope))
    if shown is None:
        await send({"type": "websocket.close", "code": REFUSED})
        return
    _open += 1
    watch = _watches.setdefault(shown, Watch(shown))
    queue = watch.join()
    _hear_as_needed()
    gone = asyncio.get_running_loop().create_task(_until_gone(receive))
    try:
        await send({"type": "websocket.accept"})
        code = await _serve(queue, gone, send, lambda: _apart(viewer_of, headers.get(b"cookie", ""), run, ""))
        if code != ENDED:
            await send({"type": "websocket.close", "code": code})
    finally:
        _open -= 1
        gone.cancel()
        watch.leave(queue)


async def _serve(
    queue: "asyncio.Queue[str]",
    gone: "asyncio.Task[int]",
    send: Send,
    viewer: Callable[[], Awaitable[Shown | None]],
) -> int:
    """Send frames until the viewer is gone or may not see them any more; return the code to close with."""
    asked = heard = time.monotonic()
    while not gone.done():
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.wait({waiting, gone}, timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
        now = time.monotonic()
        if now - asked >= ASK_AGAIN:
            asked = now
            if await viewer() is None:
                waiting.cancel()
                return REFUSED
        if waiting.done():
            heard = now
            await send({"type": "websocket.send", "text": waiting.result()})
        else:
            waiting.cancel()
            if now - heard >= STILL:
                heard = now
                await send({"type": "websocket.send", "text": _frame("still")})
    return gone.result()


async def _until_gone(receive: Receive) -> int:
    for _ in range(SAID):
        if (await receive())["type"] == "websocket.disconnect":
            return ENDED
    return TOO_MANY


def look(shown: Shown) -> str | None:
    """Return the frame with a run's numbers as they are now; None when there is no such run any more."""
    run = Run.objects.select_related("application").filter(pk=shown.run).first()
    if run is None:
        return None
    zone = ZoneInfo(shown.zone) if shown.zone else None
    with translation.override(shown.language), timezone.override(zone):
        context = numbers(run, may_press=shown.may_press)
        html = render_to_string("admin/delivery/run/numbers.html", context)
    state = "recalled" if run.recalled_at else run.state
    return _frame("numbers", html=html, state=state, going=context["going"])


def language_of(scope: Any) -> str:
    """Return the language that the page is in, as its address says; the hub's for one that it does not have."""
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("language", [""])[0]
    try:
        return translation.get_supported_language_variant(asked)
    except LookupError:
        return settings.LANGUAGE_CODE


def viewer_of(cookies: str, run: int, language: str) -> Shown | None:
    """Return what whoever holds these cookies may be shown of a run; None when that is nothing.

    What the admin's own page asks is asked here too, so that the two cannot differ.
    """
    request = HttpRequest()
    request.COOKIES = parse_cookie(cookies)
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not session:
        return None
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session)
    request.user = get_user(request)
    if not admin.site.has_permission(request):
        return None
    page: Any = admin.site.get_model_admin(Run)
    try:
        found = page.get_object(request, str(run))
    except Http404:
        return None
    if not page.has_view_permission(request, found):
        return None
    return Shown(
        found.pk, language, page.may_press(request, found), browser_zone(request), found.application_id
    )


def same_origin(headers: Mapping[bytes, str], *, secure: bool) -> bool:
    """Return whether a page of this hub asks: what it says (`Origin`) is where it asks, or a trusted origin.

    A browser always says; so whoever does not is refused.
    """
    origin, host = headers.get(b"origin", ""), headers.get(b"host", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(
        domain, settings.ALLOWED_HOSTS or [".localhost", "127.0.0.1", "[::1]"]
    ):
        return False
    parts = urlsplit(origin)
    schemes = ("https",) if secure or settings.BEHIND_TLS else ("http", "https")
    return parts.scheme in schemes and parts.netloc.lower() == host.lower()


def _frame(kind: str, **told: Any) -> str:
    """Return a frame; with JSON of the standard library, which takes a template's own kind of text."""
    return json.dumps({"type": kind, **told})


async def _apart(function: Callable[..., Any], *given: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(_thread, _guarded, function, *given)


def _guarded(function: Callable[..., Any], *given: Any) -> Any:
    close_old_connections()
    try:
        return function(*given)
    except (DatabaseError, InterfaceError):
        # the connection may be what is broken; the next call makes a new one
        for connection in connections.all(initialized_only=True):
            connection.close()
        raise
