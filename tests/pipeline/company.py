"""A hub that stays for several dramas, and whose servers this process stops and starts when a drama asks for it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.pipeline.production import ROOT, Site
from tests.servers.server import Server

NODE = 2
"""The node of Cassandra that is killed; the drivers know all three."""
VERBS: dict[str, Callable[[Any], None]] = {
    "kill": Server.kill,
    "start": Server.start,
    "restart": Server.restart,
    "kill_node": lambda ring: ring.kill_node(NODE),
    "start_node": lambda ring: ring.start_node(NODE),
}
PEOPLE = 1_500
"""How many it begins with: of these, 300 devices hold a WebSocket."""
END_SECONDS = 30.0


class Company:
    """`python -m tests.pipeline.drive --stay …` on a site: one hub and one fleet for every drama."""

    def __init__(self, site: Site, servers: Mapping[str, Server]) -> None:
        self._site = site
        self._servers = servers

    def __enter__(self) -> Self:
        self._log = (self._site.folder / "drama.log").open("ab")
        self._process = self._start()
        return self

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.drive", "--stay", str(PEOPLE)],
            cwd=ROOT,
            env={**os.environ, **self._site.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it may be dead already, which the drama has told
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def play(self, drama: str, *, people: int, within: float) -> dict[str, Any]:
        """Return the report of one drama before so many people; fails when it fails, or is not over in time."""
        self._mend()
        assert self._process.stdin is not None and self._process.stdout is not None
        timer = threading.Timer(within, self._process.kill)
        timer.start()
        try:
            self._say(json.dumps({"drama": drama, "people": people}))
            for line in self._process.stdout:
                said = json.loads(line)
                if "report" in said:
                    report: dict[str, Any] = said["report"]
                    return report
                assert "ask" in said, f"{drama} failed:\n{said['failed']}\n{self._tail()}"
                server, verb = said["ask"]
                VERBS[verb](self._servers[server])
                self._say("done")
        finally:
            timer.cancel()
        raise AssertionError(
            f"{drama} ended without a report (after {within:g} s it is killed)\n{self._tail()}"
        )

    def _mend(self) -> None:
        """Bring back what an earlier drama that failed has left behind dead."""
        for server in self._servers.values():
            if not all(process.running for process in server.processes):
                server.kill()
                server.start()
        if self._process.poll() is not None:
            self._process = self._start()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _tail(self) -> str:
        logs = [self._site.folder / name for name in ("hub.log", "drama.log")]
        return "\n".join(
            f"{log}:\n{log.read_text(errors='replace')[-2_000:]}" for log in logs if log.exists()
        )
