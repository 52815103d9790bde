"""`python -m bench NAME`: runs a benchmark; its last line is JSON (`bench/result.py`)."""

import importlib
import signal
import sys

BENCHES = ("main", "fanout", "events", "lanes", "senders", "fleet", "push", "admin", "segments")
"""Each is a module of this folder with `main(argv) -> exit status`, as is `servers`, which measures nothing."""
MODULES = (*BENCHES, "servers")
USAGE = f"usage: python -m bench {{{','.join(MODULES)}}} [options]   (--help after the name says which)"


def main(argv: list[str]) -> int:
    """Run the benchmark that is named first, with the other arguments."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 1
    if argv[0] not in MODULES:
        print(f"bench: there is no benchmark {argv[0]!r}\n{USAGE}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status: int = importlib.import_module(f"bench.{argv[0]}").main(argv[1:])
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
