"""How a node's devices move to others when it is told to: a share at a time, by the command and back again."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from delivery.node import leaving
from delivery.node.lines import Lines
from devices.tokens import Identity
from tests.delivery.node.device import Socket
from tests.delivery.node.site import Site


class Line:
    """A line that is gone as soon as it was asked to move, unless it stays."""

    identity: Identity | None = None
    shown_at = 0.0

    def __init__(self, lines: Lines, asked: list["Line"], *, stays: bool = False) -> None:
        self.lines, self.asked, self.stays = lines, asked, stays
        lines.open[self] = None

    def move(self, within: float) -> None:
        assert within == leaving.TURN
        self.asked.append(self)
        if not self.stays:
            self.lines.leave(self)

    def end(self, code: int) -> None: ...

    def look(self, now: float) -> float | None: ...


def shares(lines: Lines, asked: list[Line], *, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let all lines leave; return how many were asked by the end of each turn."""
    after_each: list[int] = []

    async def turn(seconds: float) -> None:
        assert seconds == leaving.TURN
        after_each.append(len(asked))

    monkeypatch.setattr(asyncio, "sleep", turn)
    asyncio.run(leaving.leave(lines, seconds=seconds, node="a"))
    return after_each


def test_devices_are_asked_a_share_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, asked = Lines(), list[Line]()
    for _ in range(100):
        Line(lines, asked)
    steps = shares(lines, asked, seconds=2.0, monkeypatch=monkeypatch)
    assert steps == [13, 26, 39, 52, 65, 78, 91, 100]
    assert len(set(asked)) == 100


def test_a_device_that_stays_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, asked = Lines(), list[Line]()
    Line(lines, asked, stays=True)
    monkeypatch.setattr(leaving, "CLOSING_SECONDS", 0.01)
    shares(lines, asked, seconds=0.25, monkeypatch=monkeypatch)
    assert len(asked) == len(lines.open) == 1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("leaving")
    with Site(folder) as made:
        yield made


@pytest.mark.server
def test_the_command_has_a_node_leave_and_take_part_again(site: Site) -> None:
    first, second = site.web(), site.web()
    devices = site.devices(3)
    with ExitStack() as stack:
        held = [stack.enter_context(Socket(first.url, one["token"])) for one in devices[:2]]
        elsewhere = stack.enter_context(Socket(second.url, devices[2]["token"]))
        node, other = held[0].hello["node"], elsewhere.hello["node"]
        until = time.monotonic() + 20
        while f"{node}: 2 devices\n" not in site.manage("drain").stdout:
            assert time.monotonic() < until
        assert site.manage("drain", node, "--seconds", "1").returncode == 0
        for socket in held:
            assert socket.frame("reconnect")["after_ms"] <= 1_000 * leaving.TURN
        with pytest.raises(InvalidStatus) as refused:
            Socket(first.url, devices[0]["token"])
        assert refused.value.response.status_code == 503
        elsewhere.settled()
        while f"{node}: 2 devices, leaving\n" not in site.manage("drain").stdout:
            assert time.monotonic() < until
        said = site.manage("drain", other)
        assert said.returncode and "they could move nowhere" in said.stderr
        said = site.manage("drain", "nobody")
        assert said.returncode and "no live node" in said.stderr
        site.manage("drain", node, "--back")
        again = stack.enter_context(Socket(second.url, devices[0]["token"]))
        again.settled()
        back = None
        while back is None:
            assert time.monotonic() < until + 20
            try:
                back = stack.enter_context(Socket(first.url, devices[0]["token"]))
            except InvalidStatus:
                continue
