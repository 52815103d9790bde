"""Devices that pull keep the cursor, go on while there is more, wait when told to, and stop when refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fleet import pulling
from fleet.pulling import Puller, Pullers
from fleet.server import FleetServer
from fleet.sockets import Pair


class Inbox:
    """A hub's inbox under the test's hands: every pull is met, and answered as the test says."""

    def __init__(self) -> None:
        self.pulls: asyncio.Queue[tuple[str, dict[str, list[str]], asyncio.StreamWriter]] = asyncio.Queue()
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split(" ")[1]
        bearer = next(line for line in head.split("\r\n") if line.lower().startswith("authorization"))
        self.pulls.put_nowait((bearer, parse_qs(urlsplit(target).query), writer))

    async def meet(self) -> tuple[str, dict[str, list[str]], asyncio.StreamWriter]:
        return await asyncio.wait_for(self.pulls.get(), 5)


def entries(*ids: str) -> list[dict[str, str]]:
    return [{"id": id, "kind": "notification", "run": "run-1", "title": id, "body": ""} for id in ids]


def answer(
    writer: asyncio.StreamWriter,
    content: Any = None,
    *,
    status: str = "200 OK",
    extra: str = "",
    chunked: bool = False,
) -> None:
    body = json.dumps(content or {}).encode()
    framing = f"content-length: {len(body)}\r\n"
    if chunked:
        framing = "transfer-encoding: chunked\r\n"
        body = b"%x\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\n\r\n" % (5, body[:5], len(body) - 5, body[5:])
    writer.write(f"HTTP/1.1 {status}\r\n{framing}{extra}\r\n".encode() + body)
    writer.close()


def play(server: FleetServer, story: Callable[[Inbox, Pullers], Awaitable[None]]) -> None:
    async def whole() -> None:
        inbox = Inbox()
        async with await asyncio.start_server(inbox.serve, "127.0.0.1", 0) as listening:
            inbox.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/api/v1/inbox/"
            try:
                await story(inbox, server.pullers)
            finally:
                await server.pullers.stop()
                await inbox.close()

    asyncio.run(whole())


def plan(inbox: Inbox, *names: str) -> Puller:
    return Puller(
        inbox.url, [Pair("t-" + name, name) for name in names or ("stick",)], interval_ms=1, jitter=0.5
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "_FIRST_WAIT", 0.001)


@pytest.mark.parametrize("chunked", [False, True])
def test_it_stores_what_it_pulls_and_asks_behind_the_cursor(server, chunked):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        assert await pullers.start(plan(inbox)) == 1
        bearer, query, writer = await inbox.meet()
        assert bearer.endswith("Bearer t-stick") and "after" not in query
        answer(writer, {"entries": entries("a", "b"), "cursor": "c+1", "next": None}, chunked=chunked)
        _, query, writer = await inbox.meet()
        assert query["after"] == ["c+1"]
        answer(writer, {"entries": entries("b", "c"), "cursor": "c2", "next": None})
        await inbox.meet()
        totals = server.world.record.totals(provider="inbox", run="run-1")
        assert (totals.accepted, totals.distinct_messages, totals.repeats) == (4, 3, 1)
        assert pullers.report()["pulls"] == 2

    play(server, story)


def test_it_goes_on_at_once_while_there_is_more(server):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        await pullers.start(plan(inbox))
        _, _, writer = await inbox.meet()
        answer(writer, {"entries": entries("a"), "cursor": "early", "next": "page-2"})
        _, query, writer = await inbox.meet()
        assert query["after"] == ["page-2"]
        answer(writer, {"entries": [], "cursor": "late", "next": None})
        _, query, _ = await inbox.meet()
        assert query["after"] == ["late"]

    play(server, story)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_refused_it_does_not_return(server, status):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        await pullers.start(plan(inbox))
        device = next(iter(pullers._devices.values()))
        _, _, writer = await inbox.meet()
        answer(writer, status=status)
        await asyncio.wait_for(device._task, 5)
        assert pullers.report()["by_state"] == {"refused": 1}

    play(server, story)


@pytest.mark.parametrize("bad", ["503 Unavailable", "200 OK", "nonsense"])
def test_it_comes_back_after_a_failure(server, bad):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        await pullers.start(plan(inbox))
        _, _, writer = await inbox.meet()
        answer(writer, {"no": "inbox"}, status=bad)
        _, query, _ = await inbox.meet()
        assert "after" not in query
        assert pullers.report()["failures"] == 1

    play(server, story)


def test_it_waits_as_long_as_it_is_told(server, monkeypatch):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        waits: list[float] = []
        slept = asyncio.Event()
        real = asyncio.sleep

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if seconds > 1:
                slept.set()
                seconds = 0
            await real(seconds)

        monkeypatch.setattr(pulling.asyncio, "sleep", sleep)
        await pullers.start(plan(inbox))
        _, _, writer = await inbox.meet()
        answer(writer, status="429 Too Many Requests", extra="retry-after: 7\r\n")
        await asyncio.wait_for(slept.wait(), 5)
        assert waits[-1] == 7.0
        await inbox.meet()

    play(server, story)


def test_a_broken_answer_is_asked_for_again(server):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        await pullers.start(plan(inbox))
        _, _, writer = await inbox.meet()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
        writer.close()
        await inbox.meet()
        assert server.world.record.totals(provider="inbox").accepted == 0

    play(server, story)


def test_the_same_device_started_again_keeps_its_cursor(server):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        await pullers.start(plan(inbox))
        _, _, writer = await inbox.meet()
        answer(writer, {"entries": [], "cursor": "kept", "next": None})
        await inbox.meet()
        await pullers.start(plan(inbox))
        _, query, _ = await inbox.meet()
        assert query["after"] == ["kept"] and pullers.report()["total"] == 1

    play(server, story)


def test_only_http_can_be_pulled_from(server):
    async def story(inbox: Inbox, pullers: Pullers) -> None:
        with pytest.raises(ValueError, match="url"):
            await pullers.start(Puller("ftp://x", []))

    play(server, story)
