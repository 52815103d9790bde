"""`python -m bench push`: what a message on a WebSocket costs, beside Centrifugo: same client, same texts, in turns."""

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import command, hub, result
from bench.baseline import BaselineError
from bench.course import tell
from bench.pushing import programs
from bench.pushing.course import Course, Report, Turn
from tests.servers.process import ServerError
from tests.servers.redis import Redis

NAME = "push"
OURS = ("daphne", "uvicorn")
DEFAULT = OURS[0]
"""The server whose ratios have goals."""


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = command.arguments(NAME, __doc__)
    parser.add_argument(
        "--connections", default="2000", metavar="N,…", help="connections, one course each (2000)"
    )
    parser.add_argument("--messages", type=int, default=40_000, metavar="N", help="of each phase (40,000)")
    parser.add_argument(
        "--rate", type=int, default=2_000, metavar="N", help="paced messages a second (2,000)"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; medians are printed (3)")
    parser.add_argument(
        "--herd", type=int, default=0, metavar="N", help="also: a node with N devices is killed"
    )
    parser.add_argument("--without", default="", metavar="SERVER,…", help="daphne, uvicorn or centrifugo")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    options = arguments().parse_args(argv)
    load = command.load()
    try:
        goals = result.read_goals(NAME)
        report = _measure(options)
    except (BaselineError, ServerError, hub.HubError, result.GoalsError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return result.UNUSABLE
    counts = sorted({turn.connections for turn in report.turns})
    figures: dict[str, Any] = {
        "rounds": options.rounds,
        "machine": command.machine(load),
        "messages": options.messages,
        "rate": options.rate,
        "herd": [msgspec.to_builtins(one) for one in report.herds],
        "connections": {
            str(count): figures_of([turn for turn in report.turns if turn.connections == count])
            for count in counts
        },
    }
    figures["growth"] = growth_of(figures["connections"])
    missing = [
        f"{turn.server} with {turn.connections:,} connections: {turn.undelivered:,} messages did not arrive"
        for turn in [*report.turns, *report.herds]
        if turn.undelivered
    ]
    ratios = ratios_of([turn for turn in report.turns if turn.connections == counts[0]])
    return command.finish(NAME, figures=figures, ratios=ratios, goals=goals, missing=missing)


def _measure(options: argparse.Namespace) -> Report:
    names = [name for name in (*OURS, "centrifugo") if name not in options.without.split(",")]
    built = {"load": str(programs.load_client())}
    if "centrifugo" in names:
        built["centrifugo"] = str(programs.centrifugo())
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(command.folder(options.keep))
        place = stack.enter_context(hub.place("embedded", folder / NAME, tell=tell))
        redis = stack.enter_context(Redis(folder))
        out = place.folder / "report.json"
        course = Course(
            servers=names,
            connections=[int(one) for one in options.connections.split(",")],
            messages=options.messages,
            rate=options.rate,
            rounds=options.rounds,
            herd=options.herd,
            programs=built,
            redis=redis.processes[0].pid,
            out=str(out),
            profile=command.profile_of(options),
        )
        path = place.folder / "course.json"
        path.write_bytes(msgspec.json.encode(course))
        there = hub.Place(
            place.size,
            place.folder,
            {**place.environment, **redis.environment()},
            place.servers,
            place.broker,
        )
        hub.run_there("bench.pushing.course", str(path), there)
        return msgspec.json.decode(Path(out).read_bytes(), type=Report)


def figures_of(turns: Sequence[Turn]) -> dict[str, dict[str, Any]]:
    """Return each server's medians."""
    found = {}
    for name in dict.fromkeys(turn.server for turn in turns):
        mine = [turn for turn in turns if turn.server == name]
        found[name] = {
            "version": mine[0].version,
            **{
                field: result.middle(getattr(turn, field) for turn in mine)
                for field in (
                    "connect_seconds",
                    "connect_cpu_ms",
                    "idle_kb",
                    "idle_cpu_percent",
                    "unicast_per_second",
                    "broadcast_per_second",
                    "paced_p50_ms",
                    "paced_p99_ms",
                )
            },
            **{
                field: {
                    part: result.middle(getattr(turn, field).get(part, 0.0) for turn in mine)
                    for part in getattr(mine[0], field)
                }
                for field in ("unicast_us", "broadcast_us", "paced_us")
            },
        }
    return found


def growth_of(connections: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return, for each server, what a message and a connection cost with the most connections over the fewest."""
    counts = sorted(connections, key=int)
    if len(counts) < 2:
        return {}
    fewest, most = connections[counts[0]], connections[counts[-1]]
    return {
        name: {
            field: round(_one(most[name][field]) / _one(fewest[name][field]), 2)
            for field in ("unicast_us", "broadcast_us", "idle_kb", "connect_cpu_ms")
            if _one(fewest[name][field])
        }
        for name in most
    }


def _one(value: dict[str, float] | float) -> float:
    return _all(value) if isinstance(value, dict) else value


def ratios_of(turns: Sequence[Turn]) -> dict[str, float]:
    """Return ours over Centrifugo's: medians of what each round came to; nothing without Centrifugo."""
    theirs = [turn for turn in turns if turn.server == "centrifugo"]
    ratios: dict[str, float] = {}
    for name in OURS:
        pairs = list(zip([turn for turn in turns if turn.server == name], theirs, strict=False))
        if not pairs:
            continue
        label = "" if name == DEFAULT else f"{name}_"
        ratios |= {
            f"{label}unicast": result.middle(_all(a.unicast_us) / _all(b.unicast_us) for a, b in pairs),
            f"{label}broadcast": result.middle(_all(a.broadcast_us) / _all(b.broadcast_us) for a, b in pairs),
            f"{label}p99_later_ms": result.middle(a.paced_p99_ms - b.paced_p99_ms for a, b in pairs),
            f"{label}idle_memory": result.middle(a.idle_kb / b.idle_kb for a, b in pairs),
            f"{label}connect_cpu": result.middle(a.connect_cpu_ms / b.connect_cpu_ms for a, b in pairs),
        }
    return ratios


def _all(parts: dict[str, float]) -> float:
    return sum(parts.values())
