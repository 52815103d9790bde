"""The command `python -m fleet`."""

from __future__ import annotations

import gc
import sys

import uvloop

from fleet.arguments import add_arguments, make_parser
from fleet.endpoint import PortError
from fleet.server import Options, StartError, serve


def main() -> int:
    """Run the fleet; return the exit status: 1 when it cannot start."""
    parser = make_parser("python -m fleet")
    add_arguments(parser, data=None)
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this parent process has ended")
    options = Options(**vars(parser.parse_args()))
    # Requests leave no cycles behind; a full collection over a million rows would be heard as latency.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    try:
        # uvloop halves the cost of a request.
        uvloop.run(serve(options))
    except (StartError, PortError, ValueError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
