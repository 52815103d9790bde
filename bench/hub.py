"""A hub in one of its two sizes for a benchmark: the servers it needs, its environment, its prepared data folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Servers, reused, started
from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parent.parent
SIZES = ("embedded", "production")
_OURS = ("NOTIFYHUB_", "DATABASE_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS")


class HubError(Exception):
    """The hub's data folder cannot be prepared, or its process failed; says why."""


@dataclass(frozen=True)
class Place:
    """Where a hub is to run: the environment of its processes, the servers beside it by name.

    `broker` is the environment in which Erlang's tools reach RabbitMQ, empty where there is none.
    """

    size: str
    folder: Path
    environment: Mapping[str, str]
    servers: Mapping[str, list[int]]
    broker: Mapping[str, str]


@contextmanager
def place(
    size: str, folder: Path, *, tell: Callable[[str], None], counted: bool = False, reuse: bool = False
) -> Iterator[Place]:
    """Start what a size needs on fresh data in `folder`, prepare the hub's data folder, and stop all at the end.

    `reuse` takes the servers that `python -m bench servers` keeps.
    """
    folder.mkdir()
    environment = environment_in(folder)
    with ExitStack() as stack:
        servers = Servers({}, {}, {})
        if size == "production":
            servers = stack.enter_context(reused() if reuse else started(folder, tell=tell, counted=counted))
        environment |= servers.environment
        prepare(environment)
        yield Place(size, folder, environment, servers.pids, servers.broker)


def environment_in(folder: Path) -> dict[str, str]:
    """Return the environment of a hub whose data lies in `folder`, without what the shell says about another."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {
        "NOTIFYHUB_DATA_DIR": str(folder / "hub"),
        "NOTIFYHUB_PORT": str(free_port()),
        "NOTIFYHUB_REDIS_PORT": str(free_port()),
        "PYTHONPATH": str(ROOT),
    }


def prepare(environment: Mapping[str, str]) -> None:
    """Make a hub's secrets and tables; raises `HubError`."""
    command = [sys.executable, str(ROOT / "manage.py"), "prepare"]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise HubError(f"`manage.py prepare` failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")


def run_there(module: str, argument: str, where: Place) -> None:
    """Run one of our modules in a place's environment until it ends; raises `HubError` when it fails.

    It has its own process, because Django's settings are read once. It ends with this one.
    """
    from notifyhub.orphans import die_with_parent

    with (
        subprocess.Popen(
            [sys.executable, "-m", module, argument],
            cwd=ROOT,
            env=dict(where.environment),
            stdout=sys.stderr,
            start_new_session=True,  # a terminal's Ctrl-C comes once, from here: a second one would cut its tidying up
            preexec_fn=die_with_parent(),
        ) as process
    ):
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if status:
        raise HubError(f"the {where.size} course failed; what it said stands above")
