"""What the benchmarks' command lines share: their options, the folder of a run, the course in its own process."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench import baseline, hub, peers, result
from bench.course import Course, tell
from bench.report import Ours, Turn
from bench.servers import ServersError
from tests.servers.process import ServerError

FEWEST = 20_000
"""Devices below which a run is too short for its ratios to mean anything."""
R = TypeVar("R")


def arguments(bench: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {bench}", description=description)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep data and logs in this new folder")
    parser.add_argument(
        "--reuse", action="store_true", help="take the servers that `python -m bench servers` keeps"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FOLDER",
        help="py-spy's stacks of every process of ours, by a first round whose figures are then no good",
    )
    return parser


def add_devices(parser: argparse.ArgumentParser, *, default: int = FEWEST) -> None:
    """Add the option for how many devices there are."""
    parser.add_argument(
        "--devices",
        type=int,
        default=default,
        metavar="N",
        help=f"devices ({default:,}; at least {FEWEST:,})",
    )


def add_baseline(parser: argparse.ArgumentParser) -> None:
    """Add the options of the Go program."""
    parser.add_argument(
        "--concurrency", type=int, default=baseline.Settings.concurrency, help="of the baseline"
    )
    parser.add_argument("--gogc", type=int, default=baseline.Settings.gogc, help="GOGC of the baseline")


def add_online(parser: argparse.ArgumentParser, default: int) -> None:
    """Add the option for how many WebSockets are open."""
    parser.add_argument(
        "--online",
        type=int,
        default=default,
        metavar="N",
        help=f"WebSockets that are open at most ({default:,}); what the others are told waits in the log",
    )


def add_latency(parser: argparse.ArgumentParser, default: float) -> None:
    """Add the option for how slow the fleet is."""
    parser.add_argument(
        "--latency-ms",
        type=float,
        default=default,
        metavar="MS",
        help=f"of the fleet's answers ({default:g})",
    )


def check_devices(parser: argparse.ArgumentParser, devices: int) -> None:
    """End with a sentence when there are too few devices."""
    if devices < FEWEST:
        parser.error(f"--devices {devices}: at least {FEWEST:,}, or the ratios mean nothing")


def settings_of(options: argparse.Namespace) -> baseline.Settings:
    """Return how the Go program is run."""
    return baseline.Settings(concurrency=options.concurrency, gogc=options.gogc)


def load() -> float:
    """Return what others do on this machine now: the load of the last minute."""
    return round(os.getloadavg()[0], 1)


def machine(load_before: float) -> dict[str, Any]:
    """Return what figures say of the machine."""
    return {"cpus": os.cpu_count(), "load_before": load_before}


@contextlib.contextmanager
def folder(keep: Path | None) -> Iterator[Path]:
    """Yield an empty folder: `keep`, or one that goes afterwards."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="notifyhub-bench-") as name:
        # PostgreSQL under root runs as another account, which must reach its data.
        Path(name).chmod(0o711)
        yield Path(name)


def run(course: Course, report: type[R], where: Path, *, counted: bool = False, reuse: bool = False) -> R:
    """Run a course at its size in a new folder below `where`; return what it measured.

    `counted`: PostgreSQL counts its statements; `reuse`: the servers are those of `python -m bench servers`.
    """
    with hub.place(course.size, where / course.size, tell=tell, counted=counted, reuse=reuse) as place:
        out = place.folder / "report.json"
        whole = msgspec.structs.replace(
            course,
            servers={name: list(pids) for name, pids in place.servers.items()},
            broker=dict(place.broker),
            out=str(out),
        )
        path = place.folder / "course.json"
        path.write_bytes(msgspec.json.encode(whole))
        hub.run_there("bench.course", str(path), place)
        return msgspec.json.decode(out.read_bytes(), type=report)


def profile_of(options: argparse.Namespace) -> str:
    """Return the folder for py-spy as a course has it, made if it is not there."""
    if not options.profile:
        return ""
    options.profile.mkdir(parents=True, exist_ok=True)
    return str(options.profile.resolve())


def measured(measure: Callable[[], R]) -> R | None:
    """Return what `measure` returns; None, with a sentence on standard error, when it could not run."""
    try:
        return measure()
    except FileExistsError as error:
        print(f"bench: {error.filename} is there already: name a folder that is not", file=sys.stderr)
    except (
        baseline.BaselineError,
        peers.PeerError,
        hub.HubError,
        ServerError,
        ServersError,
        result.GoalsError,
    ) as error:
        print(f"bench: {error}", file=sys.stderr)
    return None


def finish(
    bench: str,
    *,
    figures: Mapping[str, Any],
    ratios: Mapping[str, float],
    goals: Mapping[str, result.Goal],
    missing: Sequence[str],
) -> int:
    """Say what is missing, print the line, and return the exit status."""
    for sentence in missing:
        print(f"bench: {sentence}", file=sys.stderr)
    print(result.line(bench, figures=figures, ratios=ratios, goals=goals), flush=True)
    return result.NOT_DELIVERED if missing else result.DELIVERED


# -- figures, ratios and faults of rounds


def figures_of(turns: Sequence[Ours]) -> dict[str, Any]:
    """Return the figures of rounds: their medians; CPU is in milliseconds per 1,000 devices."""
    return {
        "delivered": [turn.delivered for turn in turns],
        "repeats": sum(turn.repeats for turn in turns),
        "outcomes": turns[-1].outcomes,
        "devices_per_second": result.middle(turn.rate for turn in turns),
        "seconds": [turn.seconds for turn in turns],
        "seconds_to_first_phone": [turn.first_phone for turn in turns],
        "seconds_to_last_outcome": [turn.all_seconds for turn in turns],
        "cpu_ms_per_1000": result.middle(turn.cpu_ms for turn in turns),
        "cpu_ms_per_1000_by_part": middle_of([turn.cpu for turn in turns], turns[0].devices),
        "server_cpu_ms_per_1000": result.middle(turn.server_cpu_ms for turn in turns),
        "server_cpu_ms_per_1000_by_server": middle_of([turn.server_cpu for turn in turns], turns[0].devices),
        "cpu_elsewhere": result.middle(turn.elsewhere for turn in turns),
        "fleet_cpu_ms_per_1000": result.middle(turn.fleet_cpu / turn.devices * 1e6 for turn in turns),
    }


def baseline_figures(turns: Sequence[Turn]) -> dict[str, Any]:
    """Return the Go program's figures: medians; CPU is in milliseconds per 1,000 messages."""
    return {
        "baseline_messages_per_second": result.middle(
            turn.baseline.sent / turn.baseline.seconds for turn in turns
        ),
        "baseline_cpu_ms_per_1000": result.middle(baseline_cpu(turn) for turn in turns),
    }


def middle_of(parts: Sequence[dict[str, float]], devices: int) -> dict[str, float]:
    """Return the medians of CPU by name, in milliseconds per 1,000."""
    names = Counter(name for part in parts for name in part)
    return {
        name: result.middle(part.get(name, 0.0) / devices * 1e6 for part in parts) for name in sorted(names)
    }


def undelivered(turns: Sequence[Ours], where: str) -> list[str]:
    """Return what of ours did not arrive, by the fleet's own count, and what does not balance: a sentence each."""
    found = []
    for number, turn in enumerate(turns, 1):
        place = f"{where}, round {number}"
        if turn.delivered != turn.expected:
            found.append(
                f"{place}: {turn.delivered:,} of {turn.expected:,} arrived; outcomes: {turn.outcomes}"
            )
        found += [f"{place}: {fault}" for fault in turn.faults]
    return found


def unsent(turns: Sequence[Turn], outside: int, where: str) -> list[str]:
    """Return what of the baseline's `outside` messages did not arrive: a sentence each."""
    return [
        f"{where}, round {number}: the baseline's {turn.baseline_delivered:,} of {outside:,} arrived, "
        f"{turn.baseline.sent:,} were answered; refused: {turn.baseline.refused}"
        for number, turn in enumerate(turns, 1)
        if turn.baseline_delivered != outside or turn.baseline.sent != outside
    ]


def baseline_cpu(turn: Turn) -> float:
    """Return the Go program's CPU milliseconds per 1,000 messages."""
    return turn.baseline.cpu_seconds / max(turn.baseline.sent, 1) * 1e6
