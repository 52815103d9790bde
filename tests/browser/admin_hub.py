"""A real hub without a demo: an application with people and staff, and nothing anybody has planned yet."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.servers.fixtures import announce
from tests.servers.process import Process, free_port
from tests.servers.server import Server

ROOT = Path(__file__).parents[2]
PASSWORD = "a-word-for-tests-9"
PUBLIC_URL = "https://hub.example"
STAFF = {"eva": "marketer", "anton": "approver"}
PEOPLE = 24
EMPTY = f"""
from django.contrib.auth.models import User
from devices.models import Application, Membership
shop = Application.objects.create(name="Shop", slug="shop", time_zone="Europe/Berlin", locale="en", approval_from=0)
for name, role in {STAFF!r}.items():
    user = User.objects.create_user(name, password={PASSWORD!r}, is_staff=True)
    Membership.objects.create(user=user, application=shop, role=role)
"""
SUBSCRIBERS = f"""
from campaigns.models import TestDevice
from devices.models import Application, Device, Subscriber
shop = Application.objects.get(slug="shop")
names = ["Ada", "Zoë", "محمد", "さくら", "Wolfeschlegelsteinhausenbergerdorff"]
for number in range({PEOPLE}):
    person = Subscriber.objects.create(
        application=shop, external_id=f"p{{number}}", locale=["en", "de", "ar"][number % 3],
        time_zone=["Europe/Berlin", "Asia/Tokyo"][number % 2],
        attributes={{"first_name": names[number % 5], "plan": "pro"}},
    )
    device = Device.objects.create(application=shop, subscriber=person, platform="web", provider="socket")
TestDevice.objects.create(application=shop, name="Eva's browser", device=device)
"""

_open = build_opener(ProxyHandler({})).open


class WithAdmin(Protocol):
    """A hub whose admin a browser can open."""

    @property
    def base_url(self) -> str: ...


class AdminHub(Server):
    """`manage.py serve` on a folder and ports of its own, embedded size; its staff are `STAFF`, its people none yet.

    `settings` are environment variables, besides those of every such hub.
    """

    name = "admin-hub"
    max_seconds_to_start = 90.0

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(folder, port=free_port())
        self.data = self.home / "var"
        self._settings = settings
        self._process: Process | None = None
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("NOTIFYHUB_") and name not in ("SECRET_KEY", "DATABASE_URL")
        }
        self._redis_port = free_port()
        self._environment = kept | self.environment()

    @property
    def processes(self) -> list[Process]:
        return [self._process] if self._process else []

    def environment(self) -> dict[str, str]:
        return {
            "NOTIFYHUB_DATA_DIR": str(self.data),
            "NOTIFYHUB_PORT": str(self.port),
            "NOTIFYHUB_REDIS_PORT": str(self._redis_port),
            "NOTIFYHUB_PUBLIC_URL": PUBLIC_URL,
            **self._settings,
        }

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *command: str) -> str:
        """Run a command of `manage.py` on the hub's data and return what it prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def python(self, code: str) -> str:
        """Run lines of Python in the hub's shell and return the last line they print."""
        lines = self.manage("shell", "-v", "0", "-c", code).splitlines()
        return lines[-1] if lines else ""

    def wait_for(self, condition: str, *, seconds: int = 120) -> None:
        """Wait until an expression over `Experiment`, `Entry`, `Run` and `Tally` is true in the hub."""
        self.python(
            "import time\n"
            "from campaigns.models import Experiment\n"
            "from delivery.models import Entry, Run, Tally\n"
            f"until = time.monotonic() + {seconds}\n"
            f"while not ({condition}):\n"
            f"    if time.monotonic() > until: raise SystemExit({condition + ' did not come true'!r})\n"
            "    time.sleep(0.2)  # a database tells nobody: it is asked again\n"
        )

    def stop(self) -> None:
        """Stop the hub as Ctrl-C does, and remove its data."""
        self._end_orderly()
        self._discard()

    def _start(self) -> None:
        self.manage("prepare")
        self.python(EMPTY)
        self._process = Process(
            [sys.executable, ROOT / "manage.py", "serve"],
            name=self.name,
            log=self.home / "serve.log",
            env=self._environment,
            grace_seconds=20.0,
        )
        self._process.start()
        self._process.wait_until(self._ready, seconds=self.max_seconds_to_start)

    def _ready(self) -> bool:
        with _open(f"{self.base_url}/-/health/ready", timeout=3) as response:
            return bool(response.status == 200)


@pytest.fixture(scope="module")
def admin_hub(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[AdminHub]:
    """A hub on which nobody has done anything yet, for the tests of one module; its `SETTINGS` are the hub's."""
    settings = getattr(request.module, "SETTINGS", {})
    with AdminHub(tmp_path_factory.mktemp("admin"), settings) as hub:
        announce(request.config, hub)
        yield hub
