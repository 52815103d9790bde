"""A hub's sockets without the rest of it: a Redis, SQLite, web processes, and a hand that does what workers do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.servers.process import Process, free_port
from tests.servers.redis import Redis

ROOT = Path(__file__).parents[3]


class WebProcess:
    """One web process of a site."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/ws/v1/"

    @property
    def pid(self) -> int:
        return self.process.pid


class Site:
    """Ends with the `with` that began it, and everything it started ends too."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.redis = Redis(folder)
        self._stack = ExitStack()
        self._environment = {
            **os.environ,
            "NOTIFYHUB_DATA_DIR": str(folder / "hub"),
            "NOTIFYHUB_ROLE": "web",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        for name in ("NOTIFYHUB_BROKER_URL", "SECRET_KEY", "NOTIFYHUB_KEY_RING"):
            self._environment.pop(name, None)

    def __enter__(self) -> Self:
        self._stack.enter_context(self.redis)
        self._environment |= self.redis.environment()
        done = self.manage("prepare")
        assert done.returncode == 0, done.stderr
        self._hand = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tests.delivery.node.hand"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        self._stack.callback(self._hand.kill)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def web(self, server: str = "daphne", *, module: str = "notifyhub.web", **settings: str) -> WebProcess:
        """Start one more web process; it answers when this returns."""
        port = free_port()
        process = Process(
            [sys.executable, "-m", module],
            name=f"web-{port}",
            log=self.folder / f"web-{port}.log",
            env=self._environment | {"NOTIFYHUB_PORT": str(port), "NOTIFYHUB_SERVER": server} | settings,
            grace_seconds=30.0,
        )
        process.start()
        self._stack.callback(process.kill)
        process.wait_until(lambda: _answers(port), seconds=60)
        return WebProcess(process, port)

    def manage(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of manage.py."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, verb: str, **given: Any) -> Any:
        """Have the hand do something and return what it answers (`tests.delivery.node.hand` says what it can)."""
        assert self._hand.stdin is not None and self._hand.stdout is not None
        self._hand.stdin.write(json.dumps({"verb": verb, **given}) + "\n")
        self._hand.stdin.flush()
        line = self._hand.stdout.readline()
        assert line, "the hand is gone"
        answer = json.loads(line)
        assert "failed" not in answer, answer["failed"]
        return answer["done"]

    def devices(self, count: int, **given: Any) -> list[dict[str, str]]:
        """Return so many new devices, each of a subscriber of its own: {uid, subscriber, token}."""
        made: list[dict[str, str]] = self.ask("devices", count=count, **given)
        return made

    def tell(self, devices: Iterable[dict[str, str]], title: str, **given: Any) -> dict[str, Any]:
        """Log a notification for each device and hand it over; return {ids, outcomes}, in order."""
        answer: dict[str, Any] = self.ask(
            "tell", devices=[one["uid"] for one in devices], title=title, **given
        )
        return answer


def _answers(port: int) -> bool:
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/-/health/live", timeout=2) as answer:
        return bool(answer.status == 200)
