"""`python -m bench fanout`: a campaign at production size, providers 50 ms away, caps and quiet hours on.

Beside it a Go program, firebase-admin and django-push-notifications, which send the same messages and do nothing else.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from bench import baseline, command, others, result
from bench.course import Course
from bench.report import Report

NAME = "fanout"
SIZE = "production"
LATENCY_MS = 50.0
ONLINE = 4_000
"""WebSockets that are opened at most: one process may hold `ulimit -n` of them, and the fleet as many."""


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = command.arguments(NAME, __doc__)
    command.add_devices(parser)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds (5)")
    parser.add_argument(
        "--online",
        type=int,
        default=ONLINE,
        metavar="N",
        help=f"WebSockets that are open at most ({ONLINE:,}); what the others are told waits in the log",
    )
    parser.add_argument(
        "--latency-ms",
        type=float,
        default=LATENCY_MS,
        metavar="MS",
        help=f"of the fleet's answers ({LATENCY_MS:g})",
    )
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
    found = command.measured(lambda: (result.read_goals(NAME), _report(options)))
    if found is None:
        return result.UNUSABLE
    goals, report = found
    figures: dict[str, Any] = {
        "devices": options.devices,
        "rounds": len(report.turns),
        "latency_ms": options.latency_ms,
        "machine": command.machine(load),
        "baseline": baseline.described(command.settings_of(options), report.turns[0].baseline),
        "by_provider": report.by_provider,
        "online": report.online,
        "connect_seconds": report.connect_seconds,
        **command.figures_of(report.turns, report.devices),
        "others": {name: others_figures(sent) for name, sent in report.others.items()},
    }
    outside = report.by_provider["fcm"] + report.by_provider["apns"]
    missing = [*command.undelivered(report.turns, outside, NAME), *unsent(report)]
    return command.finish(NAME, figures=figures, ratios=ratios_of(report), goals=goals, missing=missing)


def _report(options: argparse.Namespace) -> Report:
    program = baseline.build()
    pythons = {} if options.alone else {name: str(others.install(name)) for name in others.PROGRAMS}
    profile = command.profile_of(options)
    course = Course(
        bench=NAME,
        size=SIZE,
        devices=options.devices,
        rounds=options.rounds,
        latency_ms=options.latency_ms,
        limits=True,
        online=options.online,
        program=str(program),
        settings=command.settings_of(options),
        out="",
        profile=profile,
        others=pythons,
    )
    with command.folder(options.keep) as folder:
        return command.run(course, Report, folder)


def ratios_of(report: Report) -> dict[str, float]:
    """Return the ratios: medians of what each round came to."""
    turns, devices = report.turns, report.devices
    return {
        "cpu": result.middle(command.cpu(turn, devices) / command.baseline_cpu(turn) for turn in turns),
        "cpu_with_servers": result.middle(
            (command.cpu(turn, devices) + command.server_cpu(turn, devices)) / command.baseline_cpu(turn)
            for turn in turns
        ),
        "seconds_to_first_phone": result.middle(turn.first_phone for turn in turns),
        **{
            f"cpu_over_{name}": result.middle(command.cpu(turn, devices) for turn in turns)
            / sent.cpu_ms_per_1000
            for name, sent in report.others.items()
            if sent.sent
        },
    }


def others_figures(sent: others.Sent) -> dict[str, Any]:
    """Return what another sender came to."""
    return {
        "version": sent.version,
        "messages": sent.messages,
        "messages_per_second": result.middle([sent.sent / sent.seconds]),
        "cpu_ms_per_1000": result.middle([sent.cpu_ms_per_1000]),
    }


def unsent(report: Report) -> list[str]:
    """Return what other senders did not deliver, by the fleet's own count: a sentence each."""
    return [
        f"{name}: {sent.accepted:,} of {sent.messages:,} arrived, {sent.sent:,} were answered; refused: {sent.refused}"
        for name, sent in report.others.items()
        if not sent.messages == sent.sent == sent.accepted
    ]
