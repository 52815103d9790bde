"""`python -m bench events`: events accepted over the API, one for every subscriber, until they are at the devices.

Beside it a campaign to the same people in the same course, and the same events where no rule wants them, which says
what taking them in costs.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from bench import command, result
from bench.course import Course
from bench.fanout import LATENCY_MS, ONLINE, SIZE
from bench.report import EventsReport, EventsTurn, Flow

NAME = "events"
BATCH = 200


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = command.arguments(NAME, __doc__)
    command.add_devices(parser)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument(
        "--batch", type=int, default=BATCH, metavar="N", help=f"events that are sent at a time ({BATCH})"
    )
    command.add_online(parser, ONLINE)
    command.add_latency(parser, LATENCY_MS)
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
    figures = {
        "events": options.devices,
        "batch": options.batch,
        "rounds": len(report.turns),
        "latency_ms": options.latency_ms,
        "machine": command.machine(load),
        "by_provider": report.by_provider,
        "online": report.online,
        "connect_seconds": report.connect_seconds,
        **figures_of(report.turns),
    }
    missing = undelivered(report.turns)
    return command.finish(NAME, figures=figures, ratios=ratios_of(report.turns), goals=goals, missing=missing)


def _report(options: argparse.Namespace) -> EventsReport:
    course = Course(
        bench=NAME,
        size=SIZE,
        devices=options.devices,
        rounds=options.rounds,
        latency_ms=options.latency_ms,
        limits=True,
        online=options.online,
        batch=options.batch,
        profile=command.profile_of(options),
        out="",
    )
    with command.folder(options.keep) as folder:
        return command.run(course, EventsReport, folder, reuse=options.reuse)


def ratios_of(turns: Sequence[EventsTurn]) -> dict[str, float]:
    """Return an event's CPU over a device's in the fan-out of the same round: the median."""
    return {"cpu_over_fanout": result.middle(turn.events.cpu_ms / turn.fanout.cpu_ms for turn in turns)}


def figures_of(turns: Sequence[EventsTurn]) -> dict[str, Any]:
    """Return the figures of rounds: medians; CPU is in milliseconds per 1,000 events or devices."""
    flows = [turn.events for turn in turns]
    intakes = [turn.intake for turn in turns]
    return {
        "delivered": [flow.delivered for flow in flows],
        "repeats": sum(flow.repeats for flow in flows),
        "outcomes": flows[-1].outcomes,
        "events_per_second": result.middle(flow.events / flow.seconds for flow in flows),
        "accepted_per_second": result.middle(flow.events / flow.accept_seconds for flow in flows),
        "accepted_per_second_without_rule": result.middle(
            flow.events / flow.accept_seconds for flow in intakes
        ),
        "cpu_ms_per_1000": result.middle(flow.cpu_ms for flow in flows),
        "cpu_ms_per_1000_by_part": command.middle_of([flow.cpu for flow in flows], flows[0].events),
        "http_intake_cpu_ms_per_1000": result.middle(
            flow.cpu.get("web", 0.0) / flow.events * 1e6 for flow in intakes
        ),
        "without_rule_cpu_ms_per_1000": result.middle(flow.cpu_ms for flow in intakes),
        "server_cpu_ms_per_1000": result.middle(flow.server_cpu_ms for flow in flows),
        "server_cpu_ms_per_1000_by_server": command.middle_of(
            [flow.server_cpu for flow in flows], flows[0].events
        ),
        "rows_written_per_event": result.middle(sum(rows_of(flow).values()) for flow in flows),
        "rows_written_per_event_by_table": rows_of(flows[-1]),
        "fanout": command.figures_of([turn.fanout for turn in turns]),
    }


def rows_of(flow: Flow) -> dict[str, float]:
    """Return the rows written for each event, by table and kind; what is less than one in a thousand is left out."""
    written = {}
    for name, count in flow.asked.items():
        server, kind, table = [*name.split(".", 2), "", ""][:3]
        if (server, kind) == ("cassandra", "writes") or kind in ("inserted", "updated", "deleted"):
            title = table if kind == "writes" else f"{table} {kind}"
            written[title] = count / flow.events
    return {title: round(rows, 4) for title, rows in sorted(written.items()) if rows >= 0.001}


def undelivered(turns: Sequence[EventsTurn]) -> list[str]:
    """Return what did not arrive, by the fleet's own count, and what does not balance: a sentence each."""
    found = command.undelivered([turn.fanout for turn in turns], "fan-out")
    for number, turn in enumerate(turns, 1):
        for title, flow in (("events", turn.events), ("intake", turn.intake)):
            if flow.delivered != flow.expected:
                found.append(
                    f"{title}, round {number}: {flow.delivered:,} of {flow.expected:,} arrived; "
                    f"outcomes: {flow.outcomes}"
                )
            found += [f"{title}, round {number}: {fault}" for fault in flow.faults]
    return found
