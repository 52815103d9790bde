"""That a server holds nothing of connections that are gone, though Python does not look for rings of references."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest
from websockets.sync.client import connect

from tests.servers.process import Process, free_port

ROOT = Path(__file__).parents[2]
MANY = 20
PATIENCE = 30.0
"""Seconds; only a failure takes them: what goes is waited for, not timed."""


@pytest.fixture(params=["daphne", "daphne-looking", "uvicorn"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A server that says what it holds."""
    port = free_port()
    process = Process(
        [sys.executable, "-m", "tests.notifyhub.kept_server", request.param, str(port)],
        name=request.param,
        log=tmp_path / "log",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    process.start()
    try:
        process.wait_until(lambda: bool(kept_over_http(port)), seconds=30)
        yield port
    finally:
        process.kill()


def kept_over_http(port: int) -> dict[str, int]:
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        counts: dict[str, int] = json.loads(answer.read())
        return counts


def test_a_server_holds_nothing_of_sockets_that_are_gone(port: int) -> None:
    for _ in range(MANY):
        with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as socket:
            socket.recv()
            socket.send("what is held?")
            socket.recv()
    deadline = time.monotonic() + PATIENCE
    with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as socket:
        while True:
            socket.send("what is held?")
            kept = json.loads(socket.recv())
            if max(kept.values()) <= 1 or time.monotonic() > deadline:
                break
    assert max(kept.values()) <= 1, kept


def test_plain_requests_are_served_beside_sockets(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as socket:
        socket.recv()
        assert kept_over_http(port)["Line"] == 1
        socket.send("and still open?")
        assert json.loads(socket.recv())["Line"] == 1
