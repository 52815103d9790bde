"""`python -m bench fanout`: a campaign at production size, providers 50 ms away, caps and quiet hours on.

Beside it a Go program, firebase-admin and django-push-notifications, which send the same messages and do nothing else.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from bench import baseline, command, growing, others, result
from bench.course import Course
from bench.report import Growth, Report

NAME = "fanout"
SIZE = "production"
LATENCY_MS = 50.0
MILLION = 1_000_000
ONLINE = 4_000
"""WebSockets that are opened at most: one process may hold `ulimit -n` of them, and the fleet as many."""


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = command.arguments(NAME, __doc__)
    command.add_devices(parser)
    parser.add_argument(
        "--rounds", type=int, default=0, metavar="N", help="rounds (5; with --growth 4 to the few)"
    )
    parser.add_argument(
        "--growth",
        type=int,
        nargs="?",
        const=MILLION,
        default=0,
        metavar="N",
        help=f"instead: a campaign to N devices ({MILLION:,}) beside some to --devices, with memory watched",
    )
    command.add_online(parser, ONLINE)
    command.add_latency(parser, LATENCY_MS)
    parser.add_argument(
        "--alone", action="store_true", help="without firebase-admin and django-push-notifications"
    )
    command.add_baseline(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    parser = arguments()
    options = parser.parse_args(argv)
    command.check_devices(parser, options.devices)
    load = command.load()
    measure = _growth if options.growth else _rounds
    found = command.measured(lambda: (result.read_goals(NAME), measure(options)))
    if found is None:
        return result.UNUSABLE
    goals, (figures, ratios, missing) = found
    whole = {"devices": options.devices, "latency_ms": options.latency_ms, "machine": command.machine(load)}
    return command.finish(NAME, figures=whole | figures, ratios=ratios, goals=goals, missing=missing)


Found = tuple[dict[str, Any], dict[str, float], list[str]]
"""Figures, ratios, and what did not arrive."""


def _rounds(options: argparse.Namespace) -> Found:
    program = baseline.build()
    course = Course(
        bench="fanout",
        rounds=options.rounds or 5,
        program=str(program),
        settings=command.settings_of(options),
        others={} if options.alone else others.install(),
        devices=options.devices,
        **_shared(options),
    )
    with command.folder(options.keep) as folder:
        report = command.run(course, Report, folder, reuse=options.reuse)
    figures = {
        "rounds": len(report.turns),
        "baseline": baseline.described(command.settings_of(options), report.turns[0].baseline),
        "by_provider": report.by_provider,
        "online": report.online,
        "connect_seconds": report.connect_seconds,
        **command.figures_of(report.turns),
        **command.baseline_figures(report.turns),
        "others": {name: others_figures(sent) for name, sent in report.others.items()},
    }
    missing = [
        *command.undelivered(report.turns, NAME),
        *command.unsent(report.turns, report.outside, NAME),
        *unsent(report),
    ]
    return figures, ratios_of(report), missing


def _growth(options: argparse.Namespace) -> Found:
    course = Course(
        bench="growth",
        rounds=options.rounds or 4,
        devices=options.growth,
        second=options.devices,
        **_shared(options),
    )
    with command.folder(options.keep) as folder:
        report = command.run(course, Growth, folder, counted=True, reuse=options.reuse)
    figures = {
        "rounds": len(report.small),
        "connect_seconds": report.connect_seconds,
        "populate_seconds": report.populate_seconds,
        "few": growing.figures_of(report.small) | {"online": report.small_online},
        "many": growing.figures_of([report.large]) | {"devices": options.growth, "online": report.online},
        "resident_mb": growing.resident(report.large.memory),
    }
    missing = [*command.undelivered(report.small, "few"), *command.undelivered([report.large], "many")]
    return figures, growing.ratios_of(report), missing


def _shared(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "size": SIZE,
        "latency_ms": options.latency_ms,
        "limits": True,
        "online": options.online,
        "profile": command.profile_of(options),
        "out": "",
    }


def ratios_of(report: Report) -> dict[str, float]:
    """Return the ratios: medians of what each round came to."""
    turns = report.turns
    cpu = result.middle(turn.cpu_ms for turn in turns)
    return {
        "cpu": result.middle(turn.cpu_ms / command.baseline_cpu(turn) for turn in turns),
        "cpu_with_servers": result.middle(
            (turn.cpu_ms + turn.server_cpu_ms) / command.baseline_cpu(turn) for turn in turns
        ),
        "seconds_to_first_phone": result.middle(turn.first_phone for turn in turns),
        **{
            f"cpu_over_{name}": cpu / sent.cpu_ms_per_1000
            for name, sent in report.others.items()
            if sent.sent
        },
    }


def others_figures(sent: others.Sent) -> dict[str, Any]:
    """Return what another sender came to."""
    return {
        "version": sent.version,
        "messages": sent.messages,
        "refused": sent.refused,
        "messages_per_second": result.middle([sent.sent / sent.seconds]),
        "cpu_ms_per_1000": result.middle([sent.cpu_ms_per_1000]),
    }


def unsent(report: Report) -> list[str]:
    """Return which other senders did not deliver enough, by the fleet's own count: a sentence each."""
    return [
        f"{name}: {sent.accepted:,} of {sent.messages:,} arrived, {sent.sent:,} were answered; refused: {sent.refused}"
        for name, sent in report.others.items()
        if min(sent.sent, sent.accepted) < sent.messages * others.ENOUGH
    ]
