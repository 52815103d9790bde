"""The processes of a hub with several nodes, and the crowds of devices: each can be killed or stopped by itself."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from notifyhub import parts
from tests.pipeline.cable import Cable
from tests.servers.process import Process, free_port

ROOT = Path(__file__).parents[3]
SERVERS = ("daphne", "uvicorn", "daphne")
"""What the nodes run; the last is never killed, so that its memory can be watched."""
SECONDS_TO_START = 60.0
_open = build_opener(ProxyHandler({})).open


class Node:
    """A web process that can be reached by itself, and through a cable; its clock is ahead by so many seconds."""

    def __init__(self, folder: Path, server: str, number: int, skew: float) -> None:
        self.port = free_port()
        self.cable = Cable(self.port)
        self.process = _process(
            folder,
            f"node-{number}",
            [sys.executable, "-m", "tests.pipeline.push.skewed", str(skew)],
            {"NOTIFYHUB_PORT": str(self.port), "NOTIFYHUB_SERVER": server},
        )

    def start(self) -> None:
        """Start it, and do not wait for it."""
        self.process.start()

    def until_ready(self) -> None:
        """Return once it answers."""

        def ready() -> bool:
            with _open(f"http://127.0.0.1:{self.port}/-/health/live", timeout=2):
                return True

        self.process.wait_until(ready, seconds=SECONDS_TO_START)

    def name(self, token: str) -> str:
        """Return what this start of it calls itself, as it says to a device."""
        offered = [Subprotocol("notifyhub.v1"), Subprotocol(f"notifyhub.auth.{token}")]
        url = f"ws://127.0.0.1:{self.port}/ws/v1/"
        with connect(url, subprotocols=offered, compression=None, proxy=None) as socket:
            socket.send('{"type":"resume"}')
            return str(json.loads(socket.recv(timeout=SECONDS_TO_START))["node"])


class Hub:
    """The nodes, the workers and the clock, while the `with` lasts."""

    def __init__(self, folder: Path, skews: Sequence[float]) -> None:
        self.nodes = [
            Node(folder, server, number, skew)
            for number, (server, skew) in enumerate(zip(SERVERS, skews, strict=True))
        ]
        self.workers = [_process(folder, name, *_part(name)) for name in (parts.REST, parts.URGENT)]
        self.clock = _process(folder, parts.CLOCK, *_part(parts.CLOCK))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.cable.close)
            for process in self._processes():
                process.start()
                stack.callback(process.kill)
            for node in self.nodes:
                node.until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _processes(self) -> Iterable[Process]:
        return [*(node.process for node in self.nodes), *self.workers, self.clock]


class Crowd:
    """The near end of a process full of devices."""

    def __init__(self, folder: Path, number: int, told: dict[str, Any]) -> None:
        self._log = (folder / f"crowd-{number}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.push.crowd"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.stopped = False
        self._say(told)

    def stop(self, *, stopped: bool) -> None:
        """Have the process stand still, or go on."""
        self.stopped = stopped
        self.process.send_signal(signal.SIGSTOP if stopped else signal.SIGCONT)

    def ask(self, order: str, **more: Any) -> Any:
        """Give an order and return the answer."""
        self._say({"do": order, **more})
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a crowd ended at “{order}”; its log is {self._log.name}")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self._log.close()

    def _say(self, words: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()


def _part(name: str) -> tuple[list[str], dict[str, str]]:
    [part] = parts.parts((name,))
    return list(part.command), {"NOTIFYHUB_ROLE": name}


def _process(folder: Path, name: str, command: list[str], environment: dict[str, str]) -> Process:
    more = {"PYTHONPATH": str(ROOT), **environment}
    return Process(command, name=name, log=folder / f"{name}.log", env=os.environ | more)
