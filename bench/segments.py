"""`python -m bench segments`: how long the builder of segments waits for its count, and a CSV file for its import.

On PostgreSQL alone, with a million subscribers, their devices and what they did.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import command, hub, result
from bench.course import tell
from bench.courses.segments import Course, Report
from tests.servers.postgres import Postgres
from tests.servers.process import ServerError

NAME = "segments"


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {NAME}", description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1_000_000, metavar="N", help="(1,000,000)")
    parser.add_argument("--rows", type=int, default=100_000, metavar="N", help="of the CSV file (100,000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; medians are printed (3)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep data and logs in this new folder")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    options = arguments().parse_args(argv)
    load = command.load()
    try:
        goals = result.read_goals(NAME)
        with command.folder(options.keep) as where:
            report = _measure(options, where)
    except (ServerError, hub.HubError, result.GoalsError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return result.UNUSABLE
    figures = {"machine": command.machine(load), **msgspec.to_builtins(report)}
    wrong = [one for one in report.counts if not one.holds]
    ratios = {
        "seconds_slowest_count": max(one.slowest for one in report.counts),
        "seconds_import": report.import_seconds,
    }
    print(result.line(NAME, figures=figures, ratios=ratios, goals=goals), flush=True)
    for one in wrong:
        print(f"bench: {one.name}: the true count is outside of the margin", file=sys.stderr)
    return result.DELIVERED if len(wrong) <= 1 else result.NOT_DELIVERED


def _measure(options: argparse.Namespace, where: Path) -> Report:
    tell("starting PostgreSQL")
    with Postgres(where / "postgres") as server, hub.place("embedded", where / "hub", tell=tell) as place:
        environment = {**place.environment, "DATABASE_URL": server.url}
        hub.prepare(environment)
        out = where / "report.json"
        path = where / "course.json"
        course = Course(options.subscribers, options.rows, options.rounds, str(out))
        path.write_bytes(msgspec.json.encode(course))
        there = hub.Place("production", where, environment, {}, {})
        hub.run_there("bench.courses.segments", str(path), there)
        return msgspec.json.decode(out.read_bytes(), type=Report)
