"""A real hub with a fleet, started as `./run` starts it for a stranger, behind a cable that tests may cut."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from fleet.client import Fleet
from tests.pipeline.cable import Cable
from tests.servers.fixtures import announce
from tests.servers.process import Process, free_port
from tests.servers.server import Server

ROOT = Path(__file__).parents[2]
SUBSCRIBERS = 20
VISITOR = "visitor"
"""A subscriber whom the demo's campaign did not reach, and whose page is looked at."""
PAGE_PATH = """
from devices.models import Subscriber
from notifyhub import demo_page
print(demo_page.page_path(Subscriber.objects.get(application__slug=demo_page.DEMO, external_id={!r})))
"""

# The hub is on this machine: a proxy that the environment names must not stand between.
_open = build_opener(ProxyHandler({})).open


class LiveHub(Server):
    """`manage.py demo` on a folder and ports of its own, embedded size; `api` speaks for the demo's application."""

    name = "hub"
    max_seconds_to_start = 90.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, port=free_port())
        self.data = self.home / "var"
        self._redis_port = free_port()
        self._process: Process | None = None
        # The tests' own settings are in their environment; the hub must find none of them.
        kept = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        self._environment = kept | self.environment()

    @property
    def processes(self) -> list[Process]:
        return [self._process] if self._process else []

    def environment(self) -> dict[str, str]:
        return {
            "NOTIFYHUB_DATA_DIR": str(self.data),
            "NOTIFYHUB_PORT": str(self.port),
            "NOTIFYHUB_REDIS_PORT": str(self._redis_port),
        }

    @property
    def base_url(self) -> str:
        """Where the hub itself is reached, as http://127.0.0.1:8000."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        """Where devices connect to, past the cable."""
        return f"ws://127.0.0.1:{self.port}/ws/v1/"

    @property
    def page_url(self) -> str:
        """The visitor's page, at the near end of the cable."""
        return f"http://127.0.0.1:{self._cable.port}{self._page_path}"

    def push(self, title: str) -> None:
        """Tell the visitor something."""
        self.api("POST", "notifications", {"to": VISITOR, "title": title})

    def cut(self) -> None:
        """Cut the cable between the page and the hub; whoever connects anew gets through."""
        self._cable.cut()

    def api(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", secret: str = ""
    ) -> Any:
        """Return the answer to a request to `/api/v1/<path>`; a refusal fails the test with the problem's words.

        `secret` is a subscriber token; without one the demo's API key speaks.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {secret or self.api_key}", "Content-Type": kind}
        request = Request(f"{self.base_url}/api/v1/{path}", content, headers, method=method)
        try:
            with _open(request, timeout=30) as response:
                return json.loads(response.read() or b"null")
        except HTTPError as error:
            with closing(error):
                problem = error.read().decode(errors="replace")
            raise AssertionError(f"{method} /api/v1/{path}: {error.code} {problem}") from None

    def manage(self, *command: str) -> str:
        """Run a command of `manage.py` on the hub's data and return what it prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Stop the hub as Ctrl-C does, and remove its data."""
        self._cable.close()
        self._end_orderly()
        self._discard()

    def _start(self) -> None:
        log = self.home / "demo.log"
        self._process = Process(
            [sys.executable, ROOT / "manage.py", "demo", "--subscribers", str(SUBSCRIBERS)],
            name=self.name,
            log=log,
            env=self._environment,
            grace_seconds=20.0,
        )
        self._process.start()
        self._process.wait_until(
            lambda: re.search(r"^The hub runs\.", log.read_text(), re.MULTILINE) is not None,
            seconds=self.max_seconds_to_start,
        )
        self.api_key = (self.data / "demo_api_key").read_text().strip()
        self.fleet = Fleet.attach(self.data / "fleet")
        self.api("PUT", f"subscribers/{VISITOR}", {"locale": "en"})
        self._page_path = self.manage("shell", "-c", PAGE_PATH.format(VISITOR)).splitlines()[-1]
        self._cable = Cable(self.port)


def _is_ours(name: str) -> bool:
    return name.startswith("NOTIFYHUB_") or name == "SECRET_KEY"


@pytest.fixture(scope="module")
def live_hub(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LiveHub]:
    """A hub that runs, for the tests of one module: the next module's measure and kill, and want the machine."""
    with LiveHub(tmp_path_factory.mktemp("live")) as hub:
        announce(request.config, hub)
        yield hub
