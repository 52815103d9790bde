"""The hub as the demo runs it: a supervisor in a process of its own, and a plain client of its REST API."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from django.conf import settings

from notifyhub import supervisor
from notifyhub.orphans import Watcher, die_with_parent
from notifyhub.parts import parts

# The hub is on this machine: a proxy that the environment names must not stand between.
_open = build_opener(ProxyHandler({})).open
STOP_SECONDS = 11.0


class HubError(Exception):
    """The hub did not start or refused a request; says why."""


def address(scheme: str = "http") -> str:
    """Return where the hub is reached from this machine, as http://127.0.0.1:8000."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.BIND, settings.BIND)
    return f"{scheme}://{host}:{settings.PORT}"


def check_free() -> None:
    """Raise `supervisor.StartError` when a hub runs on this data already, or a port is taken."""
    names = supervisor.choose(only="", without="")
    with supervisor.locked(names):
        supervisor.check_ports(parts(names))


@contextmanager
def running(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a hub that writes to `log`; stop it, and all of its processes, at the end."""
    watcher = None if die_with_parent() else Watcher()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "notifyhub.supervisor"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    if watcher:
        watcher.add(process.pid)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if watcher:
            watcher.close()


def wait_until_ready(process: subprocess.Popen[bytes], log: Path, *, within: float = 60.0) -> None:
    """Wait until the hub says that it is ready; raises `HubError` with the log's end."""
    deadline = time.monotonic() + within
    why = "it did not answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            _open(address() + "/-/health/ready", timeout=3).close()
            return
        except HTTPError as error:
            why = error.read().decode(errors="replace")
        except (URLError, OSError):
            pass
        time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise HubError(f"The hub did not start ({why}). The end of {log}:\n{tail}")


class Api:
    """A client of the REST API with one key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def post(self, path: str, document: Any, *, content_type: str = "application/json") -> Any:
        """Return the answer to a POST; raises `HubError` with the problem's words."""
        request = Request(
            f"{address()}/api/v1/{path}",
            data=json.dumps(document).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": content_type},
        )
        try:
            with _open(request, timeout=30) as response:
                return json.loads(response.read() or b"null")
        except HTTPError as error:
            raise HubError(
                f"POST /api/v1/{path}: {error.code} {error.read().decode(errors='replace')}"
            ) from None
        except URLError as error:
            raise HubError(f"POST /api/v1/{path}: {error.reason}") from None
