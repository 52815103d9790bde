"""The baseline: a Go program that only sends. Built on first use, run once for each round."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "baselines" / "go"
CACHE = Path(__file__).parent / ".cache"
CLIENT = "one http2.Transport for FCM, one apns2.Client for APNs"
SECONDS_TO_BUILD = 600
SECONDS_TO_SEND = 300


class BaselineError(Exception):
    """The baseline cannot be built or run; says what to do."""


@dataclass(frozen=True)
class Settings:
    """How the program is run. Figures print it.

    One client for each provider, as apns2's README advises ("hold on to an apns2.Client instance"); so many goroutines
    push through each. `gogc` is GOGC (runtime/debug): the heap may grow by so many per cent between collections.
    """

    concurrency: int = 500
    gogc: int = 400


@dataclass(frozen=True)
class Sent:
    """What one run came to; `refused` by provider and reason. Loading the messages is in neither time."""

    sent: int
    refused: dict[str, dict[str, int]]
    seconds: float
    cpu_seconds: float
    version: str


def program_name() -> str:
    """Return the name of the program's file, which holds the digest of its source."""
    files = [SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    return "baseline-" + hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def build() -> Path:
    """Return the program, built when its source is another than last time; raises `BaselineError`."""
    program = CACHE / program_name()
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise BaselineError(
            "the baseline is a Go program and there is no `go` on PATH: install Go 1.26 or newer "
            "(https://go.dev/doc/install, or your system's package if it is new enough)"
        )
    CACHE.mkdir(exist_ok=True)
    unfinished = program.with_suffix(".partial")
    command = [go, "build", "-trimpath", "-buildvcs=false", "-o", str(unfinished), "."]
    try:
        subprocess.run(
            command, cwd=SOURCE, check=True, capture_output=True, text=True, timeout=SECONDS_TO_BUILD
        )
    except subprocess.CalledProcessError as error:
        raise BaselineError(f"`{' '.join(command)}` failed in {SOURCE}:\n{error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise BaselineError(f"`go build` in {SOURCE} took longer than {SECONDS_TO_BUILD} s") from None
    return unfinished.replace(program)


def run(program: Path, plan: Path, settings: Settings) -> Sent:
    """Send the messages of a plan (`bench.messages`) and return what came of it; raises `BaselineError`."""
    whole: dict[str, Any] = json.loads(plan.read_bytes()) | {"concurrency": settings.concurrency}
    mine = plan.with_name("baseline-run.json")
    mine.write_text(json.dumps(whole))
    with subprocess.Popen(
        [str(program), str(mine)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"GOGC": str(settings.gogc)},
    ) as process:
        try:
            assert process.stdout is not None
            # It collects its garbage from loading before it says so; the clock begins with our line.
            process.stdout.readline()
            output, complaint = process.communicate("send\n", timeout=SECONDS_TO_SEND)
        except subprocess.TimeoutExpired:
            process.kill()
            raise BaselineError(f"the baseline did not end within {SECONDS_TO_SEND} s") from None
        except BrokenPipeError:
            output, complaint = "", "it ended before the start was given"
    if process.returncode:
        raise BaselineError(f"the baseline failed: {complaint.strip()}")
    answer = json.loads(output)
    return Sent(
        sent=answer["fcm"]["sent"] + answer["apns"]["sent"],
        refused={name: answer[name]["refused"] for name in ("fcm", "apns") if answer[name]["refused"]},
        seconds=answer["seconds"],
        cpu_seconds=answer["cpu_seconds"],
        version=f"{answer['go']}, GOMAXPROCS {answer['gomaxprocs']}",
    )


def described(settings: Settings, sent: Sent) -> dict[str, Any]:
    """Return the settings for the figures."""
    return {
        **asdict(settings),
        "runtime": sent.version,
        "client": CLIENT,
    }
