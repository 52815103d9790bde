"""Devices that read nothing, behind both servers: what waits for them is bounded, and they go whatever they do."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.delivery.node.device import FAT, Socket, small_socket
from tests.delivery.node.site import Site, WebProcess

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def web(site: Site, request: pytest.FixtureRequest) -> WebProcess:
    return site.web(request.param)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def node_of(site: Site, web: WebProcess) -> str:
    """Return what a web process's node calls itself."""
    [device] = site.devices(1)
    with Socket(web.url, device["token"]) as socket:
        return str(socket.hello["node"])


def figures(site: Site, node: str) -> dict[str, float]:
    found: dict[str, float] = site.ask("nodes").get(node, {})
    return found


def until_held(site: Site, node: str, lines: int) -> None:
    """Return when the node says, as it does every three seconds, that it holds so many lines."""
    until = time.monotonic() + 20
    while (found := figures(site, node)).get("lines") != lines or found.get("devices") != lines:
        assert time.monotonic() < until, found


def tell_until_given_up(site: Site, node: str, device: dict[str, str], before: float) -> None:
    """Tell a device more than may wait for it; how much its system takes is that one's affair."""
    until = time.monotonic() + 40
    while figures(site, node).get("given_up", 0) == before:
        assert time.monotonic() < until
        site.tell([device], "fat", body=FAT)


def test_a_socket_that_reads_nothing_is_given_up_and_gone(
    site: Site, web: WebProcess, stack: ExitStack
) -> None:
    node = node_of(site, web)
    before = figures(site, node).get("given_up", 0)
    [device] = site.devices(1)
    stack.enter_context(Socket(web.url, device["token"], sock=small_socket(web.url), max_queue=1))
    until_held(site, node, 1)
    tell_until_given_up(site, node, device, before)
    until_held(site, node, 0)
    [after] = site.devices(1)
    with Socket(web.url, after["token"]) as other:
        other.settled()


def test_a_stream_that_reads_nothing_is_given_up_and_gone(
    site: Site, web: WebProcess, stack: ExitStack
) -> None:
    node = node_of(site, web)
    before = figures(site, node).get("given_up", 0)
    [device] = site.devices(1)
    line = stack.enter_context(small_socket(web.url))
    line.sendall(
        f"GET /api/v1/inbox/stream HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {device['token']}\r\n\r\n".encode()
    )
    head = b""
    while b'"hello"' not in head:
        more = line.recv(1_024)
        assert more, head
        head += more
    until_held(site, node, 1)
    tell_until_given_up(site, node, device, before)
    until_held(site, node, 0)
