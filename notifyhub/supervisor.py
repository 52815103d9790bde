"""The supervisor: starts the hub's processes, restarts what dies, and leaves none behind. `manage.py serve` runs it.

It imports neither Django nor Celery, so that it costs little beside what it looks after.
"""

import argparse
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from notifyhub import folder, settings
from notifyhub.orphans import Watcher, die_with_parent
from notifyhub.parts import PARTS, REDIS, Part, parts
from notifyhub.priority import give_way
from notifyhub.redis_binary import RedisNotFoundError

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY = 60.0
"""Seconds after which a process counts as well again: its next restart waits `FIRST_PAUSE` only."""
GRACE = 6.0
"""Seconds between TERM and KILL; Redis gets its own, shorter, after the others have ended."""
REDIS_GRACE = 2.5


class StartError(Exception):
    """The hub cannot start; one sentence says why and what to do."""


def say(event: str, **values: object) -> None:
    """Write a line of log, in the form that `notifyhub.logs` gives the other processes."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    if sys.stderr.isatty():
        line = f"{now} {event} " + " ".join(f"{key}={value}" for key, value in values.items())
    else:
        line = json.dumps({"event": event, **values, "role": "serve", "timestamp": now})
    print(line, file=sys.stderr, flush=True)


def _before_exec(part: Part) -> Callable[[], None] | None:
    """Return what a part's process does before it becomes its program, None for nothing."""
    calls = [call for call in (die_with_parent(), give_way(part.gives_way)) if call is not None]
    if not calls:
        return None

    def call_all() -> None:
        for call in calls:
            call()

    return call_all


class Child:
    """One part and the process that runs it now, if any."""

    def __init__(self, part: Part, *, watcher: Watcher | None) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self.pause = FIRST_PAUSE
        self.started_at = 0.0
        self.due_at = 0.0
        self._watcher = watcher

    def start(self) -> None:
        """Start the process in a group of its own, so that a terminal's Ctrl-C reaches only the supervisor."""
        environment = {
            **os.environ,
            "NOTIFYHUB_ROLE": self.part.name,
            # Threads share two heaps: with one each, memory that a page needed once stays with its thread.
            "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "notifyhub.settings"),
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])
            ),
        }
        self.process = subprocess.Popen(
            self.part.command,
            env=environment,
            cwd=settings.DATA_DIR,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
            preexec_fn=_before_exec(self.part),
        )
        self.started_at = time.monotonic()
        if self._watcher:
            self._watcher.add(self.process.pid)
        say("part.started", part=self.part.name, pid=self.process.pid)

    def look(self) -> None:
        """Notice an end, and start again once its pause is over."""
        now = time.monotonic()
        if self.process is not None and (status := self.process.poll()) is not None:
            self.send(signal.SIGKILL)  # what it may have left in its group
            if self._watcher:
                self._watcher.discard(self.process.pid)
            self.process = None
            if now - self.started_at > STEADY:
                self.pause = FIRST_PAUSE
            say("part.ended", part=self.part.name, status=status, again_in=self.pause)
            self.due_at, self.pause = now + self.pause, min(self.pause * 2, LONGEST_PAUSE)
        elif self.process is None and now >= self.due_at:
            self.start()

    def send(self, signum: int) -> None:
        """Send a signal to the process's group."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signum)
            except (ProcessLookupError, PermissionError):
                # PermissionError is what macOS answers for a group of zombies.
                pass


class Supervisor:
    """Runs parts until it is told to stop."""

    def __init__(self, chosen: Sequence[Part]) -> None:
        self._watcher = None if die_with_parent() else Watcher()
        self._children = [Child(part, watcher=self._watcher) for part in chosen]
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        """Start every part, look after them until SIGINT or SIGTERM, then stop them all."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._stop)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)  # its only use is to wake the pause below
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            for child in self._children:
                if self._stopping:
                    break
                child.start()
                if child.part.name == REDIS:
                    self._wait_for_redis(child)
            while not self._stopping:
                for child in self._children:
                    child.look()
                self._pause(0.25)
        finally:
            self._end()

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _pause(self, seconds: float) -> None:
        import select

        ready, _, _ = select.select([self._wake_read], [], [], seconds)
        if ready:
            os.read(self._wake_read, 1024)

    def _wait_for_redis(self, child: Child) -> None:
        """Wait until the embedded Redis accepts connections, so that nobody logs that it does not."""
        deadline = time.monotonic() + 10
        while (
            not self._stopping
            and time.monotonic() < deadline
            and child.process
            and child.process.poll() is None
        ):
            try:
                socket.create_connection(("127.0.0.1", settings.REDIS_PORT), timeout=0.5).close()
                return
            except OSError:
                self._pause(0.02)

    def _end(self) -> None:
        began = time.monotonic()
        others = [child for child in self._children if child.part.name != REDIS]
        _end_all(others, within=GRACE)
        # Redis last: the others still write to it while they end.
        _end_all([child for child in self._children if child.part.name == REDIS], within=REDIS_GRACE)
        if self._watcher:
            self._watcher.close()
        say("stopped", seconds=round(time.monotonic() - began, 1))


def _end_all(children: Sequence[Child], *, within: float) -> None:
    running = [child for child in children if child.process is not None]
    for child in running:
        child.send(signal.SIGTERM)
    deadline = time.monotonic() + within
    for child in running:
        assert child.process is not None
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say("part.killed", part=child.part.name, pid=child.process.pid)
        child.send(signal.SIGKILL)
        child.process.wait()


@contextmanager
def locked(names: Sequence[str]) -> Iterator[None]:
    """Hold the lock of each part in the data folder; raises `StartError` when another supervisor has one.

    The system lets go of a lock when its holder ends, however it ends.
    """
    home = settings.DATA_DIR / "locks"
    home.mkdir(exist_ok=True)
    files = []
    try:
        for name in names:
            file = (home / f"{name}.lock").open("a+")
            files.append(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise StartError(
                    f"A hub already runs on {settings.DATA_DIR} ({name}, process {file.read().strip()}): stop it "
                    "first, or give this one another folder with NOTIFYHUB_DATA_DIR."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield
    finally:
        for file in files:
            file.close()


def check_ports(chosen: Sequence[Part]) -> None:
    """Raise `StartError` when a port that a part needs is taken."""
    for part in chosen:
        if part.address is None:
            continue
        host, port = part.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise StartError(
                    f"Port {port} on {host}, which {part.name} needs, cannot be used ({error.strerror}): free it, "
                    f"or set {part.port_setting} to another."
                ) from None


def choose(*, only: str, without: str) -> tuple[str, ...]:
    """Return the names of the parts to run; raises `StartError` for a name that is none."""
    wanted = [name for name in only.split(",") if name]
    unwanted = [name for name in without.split(",") if name]
    if unknown := sorted({*wanted, *unwanted} - set(PARTS)):
        raise StartError(f"There is no part {', '.join(unknown)}: the parts are {', '.join(PARTS)}.")
    chosen = tuple(name for name in PARTS if name in (wanted or PARTS) and name not in unwanted)
    if not settings.REDIS_EMBEDDED:
        # NOTIFYHUB_REDIS_URL names a Redis that somebody else runs.
        chosen = tuple(name for name in chosen if name != REDIS)
    if not chosen:
        raise StartError("Nothing is left to run.")
    return chosen


def check_prepared(data: Path) -> None:
    """Raise `StartError` when a secret is missing that `manage.py prepare` makes."""
    password_missing = settings.REDIS_EMBEDDED and not folder.read_secret(data / "redis_password")
    if not settings.SECRET_KEY or not settings.KEY_RING or password_missing:
        raise StartError(f"{data} is not prepared: run `manage.py prepare` (or `./run`) first.")


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line, which `manage.py serve` shares."""
    parser = argparse.ArgumentParser(
        prog="manage.py serve", description="Run the hub until Ctrl-C or SIGTERM."
    )
    names = ", ".join(PARTS)
    parser.add_argument(
        "--only", default="", metavar="PARTS", help=f"run only these, of {names}; commas between"
    )
    parser.add_argument("--without", default="", metavar="PARTS", help="run all but these")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the hub; return the exit status: 2 when it cannot start."""
    options = arguments().parse_args(argv)
    try:
        names = choose(only=options.only, without=options.without)
        check_prepared(settings.DATA_DIR)
        with locked(names):
            chosen = parts(names)
            check_ports(chosen)
            Supervisor(chosen).run()
    except (StartError, RedisNotFoundError) as error:
        print(f"serve: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
