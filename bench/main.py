"""`python -m bench main`: what the whole path costs, in both sizes, beside a Go program that only sends."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import baseline, command, hub, result
from bench.course import Course
from bench.report import Report

NAME = "main"


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = command.arguments(NAME, __doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one round a size instead of five: about a minute"
    )
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds a size (5)")
    command.add_devices(parser)
    parser.add_argument("--size", choices=hub.SIZES, action="append", help="one size only (both)")
    command.add_latency(parser, 0.0)
    command.add_baseline(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    parser = arguments()
    options = parser.parse_args(argv)
    command.check_devices(parser, options.devices)
    load = command.load()
    found = command.measured(lambda: (result.read_goals(NAME), _reports(options)))
    if found is None:
        return result.UNUSABLE
    goals, reports = found
    figures: dict[str, Any] = {
        "devices": options.devices,
        "rounds": len(reports[0].turns),
        "latency_ms": options.latency_ms,
        "machine": command.machine(load),
        "baseline": baseline.described(command.settings_of(options), reports[0].turns[0].baseline),
    }
    ratios: dict[str, float] = {}
    missing: list[str] = []
    for report in reports:
        figures[report.size] = {
            "by_provider": report.by_provider,
            "connect_seconds": report.connect_seconds,
            **command.figures_of(report.turns),
            **command.baseline_figures(report.turns),
        }
        ratios |= ratios_of(report)
        missing += command.undelivered(report.turns, report.size)
        missing += command.unsent(report.turns, report.outside, report.size)
    return command.finish(NAME, figures=figures, ratios=ratios, goals=goals, missing=missing)


def _reports(options: argparse.Namespace) -> list[Report]:
    program = baseline.build()
    profile = command.profile_of(options)
    with command.folder(options.keep) as folder:
        return [_run(size, folder, program, options, profile) for size in options.size or hub.SIZES]


def _run(size: str, folder: Path, program: Path, options: argparse.Namespace, profile: str) -> Report:
    course = Course(
        bench=NAME,
        size=size,
        devices=options.devices,
        rounds=options.rounds or (1 if options.quick else 5),
        latency_ms=options.latency_ms,
        program=str(program),
        settings=command.settings_of(options),
        out="",
        profile=profile,
    )
    return command.run(course, Report, folder, reuse=options.reuse)


def ratios_of(report: Report) -> dict[str, float]:
    """Return ours over the baseline's, per device and per message: the medians of what each round came to."""
    turns = report.turns
    return {
        f"cpu_{report.size}": result.middle(turn.cpu_ms / command.baseline_cpu(turn) for turn in turns),
        f"rate_{report.size}": result.middle(
            turn.rate / (turn.baseline.sent / turn.baseline.seconds) for turn in turns
        ),
    }
