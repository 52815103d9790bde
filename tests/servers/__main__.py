"""`python -m tests.servers`: installs what the servers need, or runs some of them in the foreground."""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tests.servers.cassandra import Cassandra
from tests.servers.install import install
from tests.servers.postgres import Postgres
from tests.servers.process import ServerError
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis
from tests.servers.server import Server

_NAMES = ("redis", "postgres", "rabbitmq", "cassandra")


def main() -> int:
    """Run the command line; 0 is success, 1 a server that does not start, 2 something to install."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install what is missing on this machine")
    up_parser = commands.add_parser(
        "up", help="run servers until Ctrl-C; prints one JSON line of environment variables"
    )
    up_parser.add_argument("names", nargs="+", choices=_NAMES, metavar="NAME", help=", ".join(_NAMES))
    up_parser.add_argument(
        "--nodes", type=int, default=1, choices=(1, 2, 3), help="nodes of Cassandra (default 1)"
    )
    arguments = parser.parse_args()
    if arguments.command == "install":
        return install()
    try:
        up(arguments.names, nodes=arguments.nodes)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def up(names: list[str], *, nodes: int) -> None:
    """Start the servers one after the other, print their environment, and stop them on SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="notifyhub-servers-")))
        environment: dict[str, str] = {}
        for name in dict.fromkeys(names):
            server = stack.enter_context(_make(name, folder, nodes=nodes))
            print(f"{name} ready in {server.startup_seconds:.1f} s", file=sys.stderr, flush=True)
            environment |= server.environment()
        print(json.dumps(environment), flush=True)
        signal.pause()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _make(name: str, folder: Path, *, nodes: int) -> Server:
    match name:
        case "redis":
            return Redis(folder)
        case "postgres":
            return Postgres(folder)
        case "rabbitmq":
            return RabbitMQ(folder)
        case _:
            return Cassandra(folder, nodes=nodes)


if __name__ == "__main__":
    sys.exit(main())
