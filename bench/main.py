"""`python -m bench main`: what the whole path costs, in both sizes, beside a Go program that only sends."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import baseline, hub, result
from bench.course import Course, Report, Turn, tell
from tests.servers.process import ServerError

NAME = "main"
FEWEST = 20_000
"""Devices below which a run is too short for its ratios to mean anything."""


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = argparse.ArgumentParser(prog="python -m bench main", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one round a size instead of five: about a minute"
    )
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds a size (5)")
    parser.add_argument(
        "--devices", type=int, default=FEWEST, metavar="N", help=f"devices ({FEWEST:,}; no fewer)"
    )
    parser.add_argument("--size", choices=hub.SIZES, action="append", help="one size only (both)")
    parser.add_argument(
        "--latency-ms", type=float, default=0.0, metavar="MS", help="of the fleet's answers (0)"
    )
    parser.add_argument(
        "--concurrency", type=int, default=baseline.Settings.concurrency, help="of the baseline"
    )
    parser.add_argument("--gogc", type=int, default=baseline.Settings.gogc, help="GOGC of the baseline")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep data and logs in this new folder")
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FOLDER",
        help="py-spy's stacks of the rest worker and the web process, by a first round whose figures are then no good",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    options = arguments().parse_args(argv)
    if options.devices < FEWEST:
        arguments().error(f"--devices {options.devices}: at least {FEWEST:,}, or the ratios mean nothing")
    sizes = options.size or list(hub.SIZES)
    load = round(os.getloadavg()[0], 1)  # what others did on this machine when we began
    try:
        program = baseline.build()
        if options.profile:
            options.profile.mkdir(parents=True, exist_ok=True)
        goals = result.read_goals(NAME)
        with _folder(options.keep) as folder:
            reports = [_run(size, folder, program, options) for size in sizes]
    except FileExistsError as error:
        print(f"bench: {error.filename} is there already: name a folder that is not", file=sys.stderr)
        return result.UNUSABLE
    except (baseline.BaselineError, hub.HubError, ServerError, result.GoalsError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return result.UNUSABLE
    settings = baseline.Settings(concurrency=options.concurrency, gogc=options.gogc)
    figures: dict[str, Any] = {
        "devices": options.devices,
        "rounds": len(reports[0].turns),
        "latency_ms": options.latency_ms,
        "machine": {"cpus": os.cpu_count(), "load_before": load},
        "baseline": baseline.described(settings, reports[0].turns[0].baseline),
    }
    ratios: dict[str, float] = {}
    missing: list[str] = []
    for report in reports:
        figures[report.size] = figures_of(report)
        ratios |= ratios_of(report)
        missing += undelivered(report)
    for sentence in missing:
        print(f"bench: {sentence}", file=sys.stderr)
    print(result.line(NAME, figures=figures, ratios=ratios, goals=goals), flush=True)
    return result.NOT_DELIVERED if missing else result.DELIVERED


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Yield an empty folder: `keep`, or one that goes afterwards."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="notifyhub-bench-") as name:
        # PostgreSQL under root runs as another account, which must reach its data.
        Path(name).chmod(0o711)
        yield Path(name)


def _run(size: str, folder: Path, program: Path, options: argparse.Namespace) -> Report:
    with hub.place(size, folder / size, tell=tell) as place:
        out = place.folder / "report.json"
        course = Course(
            size=size,
            devices=options.devices,
            rounds=options.rounds or (1 if options.quick else 5),
            latency_ms=options.latency_ms,
            program=str(program),
            settings=baseline.Settings(concurrency=options.concurrency, gogc=options.gogc),
            servers={name: list(pids) for name, pids in place.servers.items()},
            out=str(out),
            profile=str(options.profile.resolve()) if options.profile else "",
        )
        path = place.folder / "course.json"
        path.write_bytes(msgspec.json.encode(course))
        hub.run_there("bench.course", str(path), place)
        return msgspec.json.decode(out.read_bytes(), type=Report)


def figures_of(report: Report) -> dict[str, Any]:
    """Return a size's figures: medians of its rounds; CPU is in milliseconds per 1,000 devices or messages."""
    turns = report.turns

    def middle_of(parts: Sequence[dict[str, float]]) -> dict[str, float]:
        names = Counter(name for part in parts for name in part)
        return {
            name: result.middle(part.get(name, 0.0) / report.devices * 1e6 for part in parts)
            for name in sorted(names)
        }

    return {
        "by_provider": report.by_provider,
        "connect_seconds": report.connect_seconds,
        "delivered": [turn.delivered for turn in turns],
        "repeats": sum(turn.repeats for turn in turns),
        "outcomes": turns[-1].outcomes,
        "devices_per_second": result.middle(turn.delivered / turn.seconds for turn in turns),
        "seconds": [turn.seconds for turn in turns],
        "seconds_to_last_outcome": [turn.all_seconds for turn in turns],
        "cpu_ms_per_1000": result.middle(_cpu(turn, report.devices) for turn in turns),
        "cpu_ms_per_1000_by_part": middle_of([turn.cpu for turn in turns]),
        "server_cpu_ms_per_1000": result.middle(
            sum(turn.server_cpu.values()) / report.devices * 1e6 for turn in turns
        ),
        "server_cpu_ms_per_1000_by_server": middle_of([turn.server_cpu for turn in turns]),
        "fleet_cpu_ms_per_1000": result.middle(turn.fleet_cpu / report.devices * 1e6 for turn in turns),
        "baseline_messages_per_second": result.middle(
            turn.baseline.sent / turn.baseline.seconds for turn in turns
        ),
        "baseline_cpu_ms_per_1000": result.middle(_baseline_cpu(turn) for turn in turns),
    }


def ratios_of(report: Report) -> dict[str, float]:
    """Return ours over the baseline's, per device and per message: the medians of what each round came to."""
    turns = report.turns
    return {
        f"cpu_{report.size}": result.middle(
            _cpu(turn, report.devices) / _baseline_cpu(turn) for turn in turns
        ),
        f"rate_{report.size}": result.middle(
            (turn.delivered / turn.seconds) / (turn.baseline.sent / turn.baseline.seconds) for turn in turns
        ),
    }


def undelivered(report: Report) -> list[str]:
    """Return what did not arrive, by the fleet's own count, and what does not balance: a sentence each."""
    outside = report.by_provider["fcm"] + report.by_provider["apns"]
    found = []
    for number, turn in enumerate(report.turns, 1):
        where = f"{report.size}, round {number}"
        if turn.delivered != report.devices:
            found.append(
                f"{where}: {turn.delivered:,} of {report.devices:,} arrived; outcomes: {turn.outcomes}"
            )
        if turn.baseline_delivered != outside or turn.baseline.sent != outside:
            found.append(
                f"{where}: the baseline's {turn.baseline_delivered:,} of {outside:,} arrived, {turn.baseline.sent:,} "
                f"were answered; refused: {turn.baseline.refused}"
            )
        found += [f"{where}: {fault}" for fault in turn.faults]
    return found


def _cpu(turn: Turn, devices: int) -> float:
    return sum(turn.cpu.values()) / devices * 1e6


def _baseline_cpu(turn: Turn) -> float:
    return turn.baseline.cpu_seconds / max(turn.baseline.sent, 1) * 1e6
