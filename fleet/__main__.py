"""The command `python -m fleet`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

import uvloop

from fleet.http import PortError
from fleet.server import Options, StartError, serve


def main() -> int:
    """Run the fleet; return the exit status: 1 when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m fleet", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder for credentials and fleet.json")
    parser.add_argument("--fcm-port", type=int, default=0, help="FCM and its token endpoint; 0: any")
    parser.add_argument("--apns-port", type=int, default=0, help="APNs, production; 0: any")
    parser.add_argument("--apns-sandbox-port", type=int, default=0, help="APNs, sandbox; 0: any")
    parser.add_argument("--webpush-port", type=int, default=0, help="the Web Push service; 0: any")
    parser.add_argument("--control-port", type=int, default=0, help="the control API; 0: any")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long the providers take to answer")
    parser.add_argument("--parent", type=int, help="end when this parent process has ended")
    options = Options(**vars(parser.parse_args()))
    # Requests leave no cycles behind; a full collection over a million rows would be heard as latency.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    try:
        _run(options)
    except (StartError, PortError, ValueError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    # The server's native threads may still be closing connections; nothing is left to lose.
    sys.stdout.flush()
    os._exit(0)


def _run(options: Options) -> None:
    """Run the fleet in uvloop's event loop, which halves the cost of a request."""
    uvloop.run(serve(options))


if __name__ == "__main__":
    sys.exit(main())
