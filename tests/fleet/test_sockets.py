"""Socket devices keep the protocol against a hub that cuts, repeats and sends away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from fleet import sockets as sockets_module
from fleet.server import FleetServer
from fleet.sockets import Pair, Sockets


class Hub:
    """A hub under the test's hands: connections come out of a queue."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.url = ""

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.put_nowait(connection)
        await connection.wait_closed()

    async def meet(self) -> tuple[ServerConnection, dict[str, Any]]:
        """Return the next connection and its first frame."""
        connection = await asyncio.wait_for(self.connections.get(), 5)
        return connection, await hear(connection)


async def hear(connection: ServerConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await asyncio.wait_for(connection.recv(), 5))
    return frame


async def say(connection: ServerConnection, **frame: Any) -> None:
    await connection.send(json.dumps(frame))


async def give(connection: ServerConnection, *ids: str, seq: int, cursor: str, run: str = "run-1") -> None:
    """Send entries and hear their acknowledgement."""
    entries = [{"id": id, "position": "p", "kind": "notification", "run": run, "title": id} for id in ids]
    await say(connection, type="entries", seq=seq, entries=entries, cursor=cursor)
    assert await hear(connection) == {"type": "ack", "seq": seq}


def play(server: FleetServer, story: Callable[[Hub, Sockets], Awaitable[None]]) -> None:
    """Run a story between a hub that listens and the fleet's socket devices, then close both."""

    async def whole() -> None:
        hub = Hub()
        listening: Server
        async with serve(
            hub.handle, "127.0.0.1", 0, subprotocols=[Subprotocol("notifyhub.v1")], compression=None
        ) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            hub.url = f"ws://127.0.0.1:{port}/ws/v1/"
            try:
                await story(hub, server.sockets)
            finally:
                await server.sockets.close()

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets_module, "_FIRST_WAIT", 0.01)


def test_a_device_shows_its_token_and_resumes_from_nothing(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("to.k-en", "tv-1")])
        connection, first = await hub.meet()
        offered = connection.request.headers["Sec-WebSocket-Protocol"]
        assert offered.replace(" ", "") == "notifyhub.v1,notifyhub.auth.to.k-en"
        assert "Sec-WebSocket-Extensions" not in connection.request.headers
        assert first == {"type": "resume", "cursor": None}

    play(server, story)


def test_it_stores_then_acknowledges_and_drops_repeats(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        await say(connection, type="hello", device="tv-1", node="n", cursor="c0", recovered=True)
        await give(connection, "a", "b", seq=1, cursor="c1")
        await give(connection, "b", seq=2, cursor="c2")
        totals = server.world.record.totals(provider="websocket", run="run-1")
        assert (totals.accepted, totals.distinct_messages, totals.repeats) == (3, 2, 1)
        shown = server.world.record.of_device(server.world.devices.find("tv-1"))
        assert [(one.notification, one.times, one.shown) for one in shown] == [("a", 1, True), ("b", 2, True)]
        assert sockets.report()["hello"] == 1

    play(server, story)


def test_after_a_cut_it_comes_back_with_its_cursor(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        await say(connection, type="hello", cursor="c0")
        await give(connection, "a", seq=1, cursor="c1")
        assert sockets.cut() == 1
        _, first = await hub.meet()
        assert first == {"type": "resume", "cursor": "c1"}

    play(server, story)


def test_a_server_that_goes_away_is_found_again(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        connection.transport.abort()
        await hub.meet()

    play(server, story)


def test_sent_away_it_returns_after_the_time_it_was_told(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        await say(connection, type="reconnect", after_ms=1)
        _, first = await hub.meet()
        assert first == {"type": "resume", "cursor": None}

    play(server, story)


def test_resync_starts_from_nothing_on_the_same_connection(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        await give(connection, "a", seq=1, cursor="c1")
        await say(connection, type="resync")
        assert await hear(connection) == {"type": "resume", "cursor": None}

    play(server, story)


def test_a_recall_takes_the_run_off_the_screen(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        await give(connection, "a", seq=1, cursor="c1", run="run-1")
        await say(connection, type="recall", run="run-1")
        await give(connection, "b", seq=2, cursor="c2", run="run-2")
        arrivals = server.world.record.of_device(server.world.devices.find("tv-1"))
        assert [(one.run, one.shown) for one in arrivals] == [("run-1", False), ("run-2", True)]

    play(server, story)


@pytest.mark.parametrize(("code", "state"), [(4409, "closed"), (4401, "refused")])
def test_replaced_or_refused_it_does_not_return(server, code, state):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        device = sockets._devices[next(iter(sockets._devices))]
        await connection.close(code)
        await asyncio.wait_for(device._task, 5)
        assert sockets.report()["by_state"] == {state: 1}
        assert hub.connections.empty()

    play(server, story)


def test_closing_some_leaves_the_rest(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", f"tv-{number}") for number in range(3)])
        for _ in range(3):
            await hub.meet()
        assert await sockets.close(1) == 1
        assert sockets.report()["total"] == 2
        assert await sockets.close() == 2
        assert sockets.report()["total"] == 0

    play(server, story)


def test_a_frame_that_is_none_is_counted_and_the_device_returns(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")])
        connection, _ = await hub.meet()
        await connection.send("no json")
        await hub.meet()
        assert sockets.report()["bad_frames"] == 1

    play(server, story)


def test_a_device_that_never_acknowledges_stores_all_the_same(server):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")], manner="no_ack")
        connection, _ = await hub.meet()
        entry = {"id": "a", "kind": "notification", "run": "run-1", "title": "a"}
        await say(connection, type="entries", seq=1, entries=[entry], cursor="c1")
        await say(connection, type="resync")
        assert await hear(connection) == {"type": "resume", "cursor": None}, "no acknowledgement came before"
        assert server.world.record.totals(run="run-1").accepted == 1

    play(server, story)


@pytest.mark.parametrize("manner", ["no_read", "dead"])
def test_a_device_that_never_reads_stays_connected_and_stores_nothing(server, manner):
    async def story(hub: Hub, sockets: Sockets) -> None:
        await sockets.open(hub.url, [Pair("t", "tv-1")], manner=manner)
        connection, _ = await hub.meet()
        await say(connection, type="hello", cursor="c0")
        device = sockets._devices[next(iter(sockets._devices))]
        while device._connection is None or device._connection.transport.is_reading():
            await asyncio.sleep(0)
        entry = {"id": "a", "kind": "notification", "run": "run-1", "title": "a"}
        await say(connection, type="entries", seq=1, entries=[entry], cursor="c1")
        await device.ping()
        if manner == "no_read":
            assert await hear(connection) == {"type": "ping"}
        assert server.world.record.totals(run="run-1").accepted == 0
        assert sockets.report()["hello"] == 1
        assert await sockets.close(1) == 1

    play(server, story)
