"""`python -m bench admin`: server time and queries of each page of the admin over a large application on PostgreSQL."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from bench import command, hub, result
from bench.course import tell
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

NAME = "admin"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """How large the application is, how often each page is fetched, and where what was measured is written."""

    subscribers: int
    campaigns: int
    runs: int
    rounds: int
    out: str
    only: str = ""


class Page(msgspec.Struct, frozen=True):
    """A page: the median of its server time, its slowest, and its queries."""

    name: str
    milliseconds: float
    slowest: float
    queries: int
    kilobytes: float


class Measured(msgspec.Struct, frozen=True):
    """Every page, and the seconds that making the application took."""

    pages: list[Page]
    populate_seconds: float
    refused: list[str] = []


def arguments() -> argparse.ArgumentParser:
    """Return the parser of this benchmark's command line."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {NAME}", description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep data and logs in this new folder")
    parser.add_argument("--subscribers", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--campaigns", type=int, default=1_000, metavar="N")
    parser.add_argument("--runs", type=int, default=10_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="fetches of each page (5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="pages whose name holds this")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark, print its line, and return the exit status."""
    options = arguments().parse_args(argv)
    load = command.load()
    found = command.measured(lambda: (result.read_goals(NAME), _measure(options)))
    if found is None:
        return result.UNUSABLE
    goals, measured = found
    slowest = max(measured.pages, key=lambda page: page.milliseconds)
    figures: dict[str, Any] = {
        "subscribers": options.subscribers,
        "campaigns": options.campaigns,
        "runs": options.runs,
        "rounds": options.rounds,
        "machine": command.machine(load),
        "populate_seconds": measured.populate_seconds,
        "slowest": slowest.name,
        "over_300_ms": [page.name for page in measured.pages if page.milliseconds > 300],
        "pages": {
            page.name: {
                "ms": page.milliseconds,
                "slowest_ms": page.slowest,
                "queries": page.queries,
                "kb": page.kilobytes,
            }
            for page in sorted(measured.pages, key=lambda page: -page.milliseconds)
        },
    }
    ratios = {"seconds_slowest_page": slowest.milliseconds / 1000}
    return command.finish(NAME, figures=figures, ratios=ratios, goals=goals, missing=measured.refused)


def _measure(options: argparse.Namespace) -> Measured:
    with command.folder(options.keep) as folder, ExitStack() as stack:
        environment = hub.environment_in(folder)
        for server in (Redis(folder), Postgres(folder)):
            stack.callback(server.stop)
            server.start()
            environment |= server.environment()
        hub.prepare(environment)
        out = folder / "measured.json"
        asked = Asked(
            subscribers=options.subscribers,
            campaigns=options.campaigns,
            runs=options.runs,
            rounds=options.rounds,
            only=options.only,
            out=str(out),
        )
        path = folder / "asked.json"
        path.write_bytes(msgspec.json.encode(asked))
        tell(f"making {options.subscribers:,} subscribers and {options.runs:,} runs")
        hub.run_there("bench.admin_pages", str(path), hub.Place("admin", folder, environment, {}, {}))
        return msgspec.json.decode(out.read_bytes(), type=Measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
