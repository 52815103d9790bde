"""`python -m bench lanes`: how old critical events are at the device while a bulk run goes on, and without it.

Events are sent by a timetable that was fixed beforehand, half of them to people with a WebSocket, half to people
with FCM; an age counts from the instant the timetable says. A second application's run in the bulk lane shows whether
the first one's leaves it its share.
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any

from bench import command, result
from bench.course import Course
from bench.fanout import LATENCY_MS, ONLINE
from bench.report import Ages, LanesReport

NAME = "lanes"
DEVICES = 60_000
EVENTS = 2_000
RATE = 20.0
SECOND = 1_000
TRANSPORTS = ("socket", "fcm")


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = command.arguments(NAME, __doc__)
    command.add_devices(parser, default=DEVICES)
    parser.add_argument("--embedded", action="store_true", help="at the embedded size, on SQLite")
    parser.add_argument(
        "--events", type=int, default=EVENTS, metavar="N", help=f"critical events ({EVENTS:,})"
    )
    parser.add_argument("--rate", type=float, default=RATE, metavar="N", help=f"of them a second ({RATE:g})")
    command.add_online(parser, ONLINE)
    command.add_latency(parser, LATENCY_MS)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    parser = arguments()
    options = parser.parse_args(argv)
    command.check_devices(parser, options.devices)
    most = 2 * min(options.online * options.devices // (options.devices + SECOND), options.devices // 5)
    if not 2 <= options.events <= most:
        parser.error(
            f"--events {options.events}: from 2 to {most:,}, as every one is for another open device"
        )
    load = command.load()
    found = command.measured(lambda: (result.read_goals(NAME), _report(options)))
    if found is None:
        return result.UNUSABLE
    goals, report = found
    figures = {
        "size": report.size,
        "devices": options.devices,
        "events": options.events,
        "events_per_second": options.rate,
        "latency_ms": options.latency_ms,
        "machine": command.machine(load),
        "online": report.online,
        "connect_seconds": report.connect_seconds,
        **figures_of(report),
    }
    return command.finish(
        NAME, figures=figures, ratios=ratios_of(report), goals=goals, missing=undelivered(report)
    )


def _report(options: argparse.Namespace) -> LanesReport:
    course = Course(
        bench=NAME,
        size="embedded" if options.embedded else "production",
        devices=options.devices,
        second=SECOND,
        rounds=1,
        latency_ms=options.latency_ms,
        limits=True,
        online=options.online,
        events=options.events,
        rate=options.rate,
        profile=command.profile_of(options),
        out="",
    )
    with command.folder(options.keep) as folder:
        return command.run(course, LanesReport, folder, reuse=options.reuse)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all do not exceed (nearest rank); `values` is not empty."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratios_of(report: LanesReport) -> dict[str, float]:
    """Return the ratios, and the two 99th percentiles that have a bound of their own."""
    ratios: dict[str, float] = {}
    for transport in TRANSPORTS:
        idle, busy = report.idle.seconds[transport], report.busy.seconds[transport]
        if idle and busy:
            ratios[f"{transport}_p99_over_idle"] = percentile(busy, 0.99) / percentile(idle, 0.99)
            ratios[f"{transport}_p99_ms"] = percentile(busy, 0.99) * 1000
    ratios["bulk_rate_kept"] = report.bulk_rate_busy / report.bulk_rate_alone
    ratios["second_over_alone"] = result.middle(report.second_busy) / result.middle(report.second_alone)
    return ratios


def figures_of(report: LanesReport) -> dict[str, Any]:
    """Return the figures; ages are in milliseconds."""
    return {
        "idle": ages_of(report.idle),
        "during_bulk": ages_of(report.busy),
        "bulk_per_second_alone": result.middle([report.bulk_rate_alone]),
        "bulk_per_second_during_events": result.middle([report.bulk_rate_busy]),
        "bulk_runs": report.bulk_runs,
        "second_application_seconds_alone": report.second_alone,
        "second_application_seconds_during_bulk": report.second_busy,
    }


def ages_of(ages: Ages) -> dict[str, Any]:
    """Return the percentiles of a stretch of events and the CPU meanwhile for each, in milliseconds."""
    stretches = {**ages.seconds, "accepted": ages.answered, "sent_late": ages.late}
    percentiles = {
        name: {
            title: result.middle([percentile(values, share) * 1000])
            for title, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("most", 1.0))
        }
        for name, values in stretches.items()
        if values
    }
    return percentiles | {
        "cpu_ms_per_event": _for_each(ages.cpu, ages.expected),
        "server_cpu_ms_per_event": _for_each(ages.server_cpu, ages.expected),
    }


def _for_each(spent: dict[str, float], events: int) -> dict[str, float]:
    return {part: result.middle([seconds / events * 1000]) for part, seconds in sorted(spent.items())}


def undelivered(report: LanesReport) -> list[str]:
    """Return what did not arrive, by the fleet's own count, and what does not balance: a sentence each."""
    found = [
        f"{title}: {ages.arrived:,} of {ages.expected:,} critical events arrived"
        for title, ages in (("idle", report.idle), ("during bulk", report.busy))
        if ages.arrived != ages.expected
    ]
    return found + report.faults
