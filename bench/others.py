"""Other senders that people use today, beside a fan-out: firebase-admin and django-push-notifications."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from bench import peers

SECONDS_TO_SEND = 600
ENOUGH = 0.95
"""The share of its messages that a sender must deliver: one that gives up on some says little of its cost."""
MESSAGES = 3_000
"""How many each sends: enough seconds of CPU to be sure of the second digit."""


class Program(msgspec.Struct, frozen=True):
    """A program `baselines/python/{file}` and the environment it runs in (`bench.peers.python_with`)."""

    file: str
    environment: str


PROGRAMS = {
    "firebase_admin": Program("firebase_each.py", "firebase"),
    "django_push_notifications": Program("django_push.py", "django_push"),
}
"""By the name that figures have."""


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


def install() -> dict[str, str]:
    """Return the Python of each program by its name, installed on first use; raises `bench.peers.PeerError`."""
    return {name: str(peers.python_with(program.environment)) for name, program in PROGRAMS.items()}


def run(name: str, python: Path, plan: Path, *, messages: int, run: str) -> dict[str, Any]:
    """Let a program send the first `messages` of a plan (`bench.messages`) under another run; return what it says.

    Raises `bench.peers.PeerError`.
    """
    ca_file = json.loads(plan.read_bytes())["ca_file"]
    command = [str(python), str(peers.PYTHON / PROGRAMS[name].file), str(plan), str(messages), run]
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
        raise peers.PeerError(f"{name} failed:\n{error.stderr.strip()[-2000:]}") from None
    except subprocess.TimeoutExpired:
        raise peers.PeerError(f"{name} did not end within {SECONDS_TO_SEND} s") from None
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
