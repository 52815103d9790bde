"""How a request is worked: whole in one thread, with its signals, streamed or refused; and its connection."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from notifyhub import handling
from notifyhub.handling import Handler

seen: dict[str, Any] = {}


def plain(request: HttpRequest) -> HttpResponse:
    seen["view"] = threading.current_thread().name
    answer = HttpResponse(b"body:" + request.body, status=201)
    answer.set_cookie("kept", "yes")
    return answer


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a fault of a view's")


def streams(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        for number in range(1_000):
            seen["made"] = number + 1
            yield b"%d\n" % number

    return StreamingHttpResponse(parts())


def waits(request: HttpRequest) -> HttpResponse:
    seen["began"].release()
    seen["may_end"].wait(10)
    return HttpResponse(b"at last")


urlpatterns = [path("plain", plain), path("fails", fails), path("streams", streams), path("waits", waits)]


@pytest.fixture
def handler() -> Iterator[Handler]:
    seen.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], WEB_CONNECTIONS=5):
        yield Handler()


async def ask(
    handler: Handler, where: str, body: bytes = b"", *, gone_after: int | None = None
) -> list[dict[str, Any]]:
    """Return what is sent for a request; its caller hangs up after so many messages."""
    sent: list[dict[str, Any]] = []
    hung_up = asyncio.Event()
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if given:
            return given.pop()
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) == gone_after:
            hung_up.set()
            await asyncio.sleep(0)

    scope = {
        "type": "http",
        "method": "POST",
        "path": where,
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"content-length", str(len(body)).encode())],
    }
    await handler(scope, receive, send)
    return sent


def body_of(sent: list[dict[str, Any]]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent[1:])


def test_a_request_has_one_thread_from_its_first_signal_to_its_last(handler: Handler) -> None:
    threads = []

    def note(**_: Any) -> None:
        threads.append(threading.current_thread().name)

    request_started.connect(note)
    request_finished.connect(note)
    try:
        sent = asyncio.run(ask(handler, "/plain", b"hello"))
    finally:
        request_started.disconnect(note)
        request_finished.disconnect(note)
    assert threads == [seen["view"]] * 2 and seen["view"] != threading.current_thread().name
    assert sent[0]["status"] == 201 and body_of(sent) == b"body:hello"
    assert any(name == b"Set-Cookie" and value.startswith(b"kept=yes") for name, value in sent[0]["headers"])


def test_a_view_that_fails_is_answered(handler: Handler) -> None:
    assert asyncio.run(ask(handler, "/fails"))[0]["status"] == 500
    assert asyncio.run(ask(handler, "/nowhere"))[0]["status"] == 404


def test_a_stream_comes_in_pieces(handler: Handler) -> None:
    sent = asyncio.run(ask(handler, "/streams"))
    assert len(sent) == 1_002 and body_of(sent) == b"".join(b"%d\n" % number for number in range(1_000))
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * 1_000 + [False]


def test_nothing_more_is_made_for_a_caller_who_has_gone(handler: Handler) -> None:
    asyncio.run(ask(handler, "/streams", gone_after=3))
    assert 2 <= seen["made"] < 1_000


def test_what_is_too_much_to_wait_is_refused_at_once(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "MOST_WAITING", 1)
    seen.update(began=threading.Semaphore(0), may_end=threading.Event())

    async def crowd() -> list[list[dict[str, Any]]]:
        first = [asyncio.create_task(ask(handler, "/waits")) for _ in range(2)]
        await asyncio.to_thread(
            seen["began"].acquire
        )  # WEB_CONNECTIONS leaves one thread: the second one waits
        refused = await ask(handler, "/plain")
        seen["may_end"].set()
        return [refused, *(await asyncio.gather(*first))]

    refused, *others = asyncio.run(crowd())
    assert refused[0]["status"] == 503 and (b"Retry-After", b"2") in refused[0]["headers"]
    assert [body_of(sent) for sent in others] == [b"at last"] * 2 and "view" not in seen


class _Raw:
    """A connection's socket whose other end a database may close."""

    def __init__(self) -> None:
        self.mine, self.theirs = socket.socketpair()
        self.closed = False

    def fileno(self) -> int:
        return self.mine.fileno()


@pytest.mark.parametrize("ended", [True, False])
def test_a_connection_that_the_database_ended_is_not_used_again(
    ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, closed = _Raw(), []
    connection = SimpleNamespace(vendor="postgresql", connection=raw, close=lambda: closed.append(True))
    all_of_them = SimpleNamespace(all=lambda *, initialized_only: [connection])
    monkeypatch.setattr(handling, "connections", all_of_them)
    if ended:
        raw.theirs.close()
    handling._drop_what_ended()
    raw.mine.close()
    raw.theirs.close()
    assert bool(closed) is ended
