"""The command line of the fleet, for `python -m fleet` and `manage.py fleet`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

SUMMARY = """Stand in for FCM, APNs, a Web Push service and the devices behind them.

It refuses what the real providers refuse, with their own status and body, breaks on purpose
when told to, and says over HTTP what arrived, how often and for whom. Any sender in any language
can be aimed at it: it prints its addresses, and the authority to trust, as one line of JSON once it
takes connections. It listens on 127.0.0.1 only. Ctrl-C ends it.
"""

EXAMPLES = """examples:
  manage.py fleet --scenario scenario.toml    make projects, keys, phones; break things at set times
  curl CONTROL_URL/arrived                    what has arrived?
  curl CONTROL_URL/faults -d '{"provider": "fcm", "status_5xx": {"status": 503, "count": 100}}'

docs/how-to/test-your-senders.md shows the way, fleet/README.md lists every call and fault.
"""


PORTS = {
    "fcm": "FCM and its token endpoint",
    "apns": "APNs, production",
    "apns-sandbox": "APNs, sandbox",
    "webpush": "the Web Push service",
    "control": "the control API",
}


def arguments(options: Mapping[str, object]) -> list[str]:
    """Return the command line that says what these parsed options say."""
    names = ["data", "scenario", "latency-ms", *(f"{name}-port" for name in PORTS)]
    given = {name: options[name.replace("-", "_")] for name in names}
    return [f"--{name}={value}" for name, value in given.items() if value]


def add_arguments(parser: argparse.ArgumentParser, *, data: Path | None) -> None:
    """Add the fleet's arguments; without a default for `--data` it must be given."""
    parser.add_argument(
        "--data",
        type=Path,
        required=data is None,
        default=data,
        metavar="DIR",
        help="folder for credentials, certificates and fleet.json; a restart on it finds its devices and ports"
        + ("" if data is None else f" ({data})"),
    )
    parser.add_argument(
        "--scenario", type=Path, metavar="FILE", help="a TOML file: what exists, and which faults come when"
    )
    parser.add_argument(
        "--latency-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="how long the providers take to answer (0)",
    )
    for name, what in PORTS.items():
        text = f"port of {what} (that of the last start on the folder, else any)"
        parser.add_argument(f"--{name}-port", type=int, default=0, metavar="PORT", help=text)


def make_parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of a program, without arguments."""
    return argparse.ArgumentParser(
        prog=program,
        description=SUMMARY,
        epilog=EXAMPLES.replace("manage.py fleet", program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
