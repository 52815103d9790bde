"""Other senders that people use today, each in a virtual environment of its own: their pins and ours do not agree."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parent
SOURCE = HERE / "baselines"
CACHE = HERE / ".cache"
SECONDS_TO_INSTALL = 600
SECONDS_TO_SEND = 600
MESSAGES = 3_000
"""How many each sends: enough seconds of CPU to be sure of the second digit."""
PROGRAMS = {"firebase_admin": "firebase", "django_push_notifications": "django_push"}
"""A folder of `baselines/` by the name that figures have: its pinned `requirements.txt` and its `send.py`."""


class OtherError(Exception):
    """Another sender cannot be installed or run; says what to do."""


class Sent(msgspec.Struct, frozen=True):
    """What a program came to: `accepted` by the fleet's own count, `refused` by reason; loading is not counted."""

    messages: int
    sent: int
    accepted: int
    refused: dict[str, int]
    seconds: float
    cpu_seconds: float
    version: str

    @property
    def cpu_ms_per_1000(self) -> float:
        """CPU milliseconds for 1,000 messages that were answered well."""
        return self.cpu_seconds / max(self.sent, 1) * 1e6


def install(name: str) -> Path:
    """Return the Python of a program's environment, made when its pins are others than last time.

    Raises `OtherError`.
    """
    pins = SOURCE / PROGRAMS[name] / "requirements.txt"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = CACHE / f"{PROGRAMS[name]}-{digest}"
    python = home / "bin" / "python"
    if (home / "complete").exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    CACHE.mkdir(exist_ok=True)
    _do([sys.executable, "-m", "venv", str(home)])
    _do([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(pins)])
    (home / "complete").touch()
    return python


def _do(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS_TO_INSTALL)
    except subprocess.CalledProcessError as error:
        raise OtherError(f"`{' '.join(command)}` failed:\n{error.stderr.strip()[-2000:]}") from None
    except subprocess.TimeoutExpired:
        raise OtherError(f"`{' '.join(command)}` took longer than {SECONDS_TO_INSTALL} s") from None


def run(name: str, python: Path, plan: Path, *, messages: int, run: str) -> dict[str, Any]:
    """Let a program send the first `messages` of a plan (`bench.messages`) under another run; return what it says.

    Raises `OtherError`.
    """
    ca_file = json.loads(plan.read_bytes())["ca_file"]
    command = [str(python), str(SOURCE / PROGRAMS[name] / "send.py"), str(plan), str(messages), run]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "REQUESTS_CA_BUNDLE": ca_file,
        "SSL_CERT_FILE": ca_file,
        "NO_PROXY": "*",
    }
    try:
        done = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=SECONDS_TO_SEND
        )
    except subprocess.CalledProcessError as error:
        raise OtherError(f"{name} failed:\n{error.stderr.strip()[-2000:]}") from None
    except subprocess.TimeoutExpired:
        raise OtherError(f"{name} did not end within {SECONDS_TO_SEND} s") from None
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
