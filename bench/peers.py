"""The programs that senders are measured against: built, or installed in environments of their own, on first use."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "baselines"
CACHE = Path(__file__).parent / ".cache"
GO_SOURCE = FOLDER / "senders"
PYTHON = FOLDER / "python"
SECONDS_TO_MAKE = 900


class PeerError(Exception):
    """A program cannot be made or run; says what to do."""


@dataclass(frozen=True)
class Peer:
    """A Python package that sends: its program is `python/{name}_stock.py`, its environment `python/{name}.txt`."""

    name: str
    provider: str


PEERS = (
    Peer("pyfcm", "fcm"),
    Peer("firebase", "fcm"),
    Peer("apns2", "apns"),
    Peer("aioapns", "apns"),
)


def go_command() -> list[str]:
    """Return how the Go program is started, built when its source is another than last time; raises `PeerError`."""
    files = [GO_SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    program = CACHE / f"senders-{_digest(files)}"
    if not program.exists():
        go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
        if go is None:
            raise PeerError(
                "the baseline is a Go program and there is no `go` on PATH: install Go 1.26 or newer "
                "(https://go.dev/doc/install, or your system's package if it is new enough)"
            )
        CACHE.mkdir(exist_ok=True)
        unfinished = program.with_suffix(".partial")
        _make([go, "build", "-trimpath", "-buildvcs=false", "-o", str(unfinished), "."], GO_SOURCE)
        unfinished.replace(program)
    return [str(program)]


def python_command(peer: Peer) -> list[str]:
    """Return how a peer is started; raises `PeerError`."""
    return [str(python_with(peer.name)), "-W", "ignore", str(PYTHON / f"{peer.name}_stock.py")]


def python_with(name: str) -> Path:
    """Return the Python of the environment `python/{name}.txt`, made when its pins have changed; raises `PeerError`."""
    pins = PYTHON / f"{name}.txt"
    folder = CACHE / f"{name}-{_digest([pins])}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _make([sys.executable, "-m", "venv", str(folder)], PYTHON)
        _make([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(pins)], PYTHON)
        (folder / "complete").touch()
    return python


def _digest(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _make(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS_TO_MAKE
        )
    except subprocess.CalledProcessError as error:
        raise PeerError(f"`{' '.join(command)}` failed:\n{error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise PeerError(f"`{' '.join(command)}` took longer than {SECONDS_TO_MAKE} s") from None
