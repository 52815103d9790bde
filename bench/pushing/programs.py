"""The Go programs of `bench push`: the load client, which is ours, and Centrifugo, built from its published module."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from bench.baseline import CACHE, SECONDS_TO_BUILD, BaselineError

SOURCES = Path(__file__).parent.parent / "baselines"
CENTRIFUGO = "5.4.9"
"""The newest release that Go's module proxy serves; `bench/baselines/centrifugo/go.mod` names it too."""


def load_client() -> Path:
    """Return the load client, built when its source is another than last time; raises `BaselineError`."""
    return _built("push", ".", ("go.mod", "main.go"))


def centrifugo() -> Path:
    """Return Centrifugo, built on first use; raises `BaselineError`."""
    return _built("centrifugo", "github.com/centrifugal/centrifugo/v5", ("go.mod", "go.sum"))


def _built(folder: str, package: str, files: tuple[str, ...]) -> Path:
    source = SOURCES / folder
    digest = hashlib.sha256(b"\0".join((source / name).read_bytes() for name in files)).hexdigest()[:16]
    program = CACHE / f"{folder}-{digest}"
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise BaselineError(
            "the load client and Centrifugo are Go programs and there is no `go` on PATH: install Go 1.26 "
            "or newer (https://go.dev/doc/install, or your system's package if it is new enough)"
        )
    CACHE.mkdir(exist_ok=True)
    unfinished = program.with_suffix(".partial")
    command = [go, "build", "-trimpath", "-buildvcs=false", "-o", str(unfinished), package]
    try:
        subprocess.run(
            command, cwd=source, check=True, capture_output=True, text=True, timeout=SECONDS_TO_BUILD
        )
    except subprocess.CalledProcessError as error:
        raise BaselineError(f"`{' '.join(command)}` failed in {source}:\n{error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise BaselineError(f"`go build` in {source} took longer than {SECONDS_TO_BUILD} s") from None
    return unfinished.replace(program)
