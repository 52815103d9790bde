"""One supervised process of a server, and the free ports it may listen on."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.servers import keeper

_LOG_TAIL_LINES = 30
_MAX_SECONDS_TO_DIE = 10.0


class ServerError(RuntimeError):
    """A server cannot start or does not answer; the text says which, why and ends with the tail of its log."""


def free_port(*hosts: str) -> int:
    """Return a port that is free on every host (by default 127.0.0.1).

    It lies below the range of ephemeral ports, so that no outgoing connection takes it while a server is down
    between a kill and a restart.
    """
    try:
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        ephemeral = 32768
    for _ in range(200):
        port = random.randrange(min(15_000, ephemeral - 2_000), ephemeral)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for host in hosts or ("127.0.0.1",):
                stack.enter_context(socket.socket()).bind((host, port))
            return port
    raise ServerError(f"no free port below {ephemeral} on {', '.join(hosts or ('127.0.0.1',))}")


class Process:
    """A program and all it starts, which never outlives this process (`keeper` says how).

    `env` is the whole environment, `user` the account to run as when that is not the present one, `stop_signal` what
    asks for an orderly end, `timer_slack` by how many nanoseconds its sleeps may be longer (0: the system's 50 µs),
    `discard` a folder to remove should this process die before the program. Output is
    appended to `log`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        log: Path,
        env: Mapping[str, str],
        user: str = "",
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10.0,
        timer_slack: int = 0,
        discard: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._env = dict(env)
        self._user = user
        self._stop_signal = stop_signal
        self._grace_seconds = grace_seconds
        self._timer_slack = timer_slack
        self._discard = discard
        self._keeper: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """The server's process id (not the keeper's); 0 before the first start."""
        return self._pid

    @property
    def keeper_pid(self) -> int:
        """The keeper's process id; 0 before the first start."""
        return self._keeper.pid if self._keeper else 0

    @property
    def running(self) -> bool:
        """Whether the program is there, paused or not."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> None:
        """Start the program; a second call while it runs is an error. It may not be ready yet: `wait_until`."""
        if self.running:
            raise ServerError(f"{self.name} is already running")
        if not hasattr(os, "pidfd_open"):
            raise ServerError(f"{self.name}: the test servers need Linux 5.4 or newer (pidfd)")
        reader, writer = os.pipe()
        keeping = [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), str(writer)]
        keeping += [str(int(self._stop_signal)), str(self._grace_seconds)]
        keeping += [str(self._timer_slack), self._user, str(self._discard or "")]
        with open(reader, "rb") as report, self.log.open("ab") as log:
            try:
                self._keeper = subprocess.Popen(
                    keeping + self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._env,
                    cwd=self.log.parent,
                    pass_fds=[writer],
                    start_new_session=True,  # Ctrl-C in the terminal is the tests' business
                )
            finally:
                os.close(writer)
            reported = report.readline()
        if not reported:
            self._keeper.wait(_MAX_SECONDS_TO_DIE)
            raise self.error("did not start")
        self._pid = int(reported)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Return once `ready()` is true; raise `ServerError` when the program ends or the seconds are over.

        Whatever `ready` raises counts as not ready, and the last of it is part of the error.
        """
        deadline = time.monotonic() + seconds
        last: Exception | None = None
        while True:
            if not self.running:
                raise self.error(
                    f"ended while starting (exit status {self._keeper and self._keeper.returncode})"
                )
            try:
                if ready():
                    return
            except Exception as error:  # drivers raise dozens of kinds while a server starts
                last = error
            if time.monotonic() > deadline:
                raise self.error(
                    f"was not ready after {seconds:.0f} s" + (f" (last: {last!r})" if last else "")
                )
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL the program and all it started, and return when they are gone. A dead one stays dead."""
        if self._keeper is not None:
            while self.running:
                keeper.send_to_all(self._keeper.pid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._keeper.wait(0.05)

    def ask_to_stop(self) -> None:
        """Ask the program to end, which the keeper enforces after the grace; return at once."""
        if self._keeper is not None and self.running:
            self._keeper.terminate()

    def stop(self) -> None:
        """Ask the program to end, kill it after the grace, and return when all it started is gone."""
        self.ask_to_stop()
        if self._keeper is not None:
            self._keeper.wait(self._grace_seconds + _MAX_SECONDS_TO_DIE)

    def pause(self) -> None:
        """SIGSTOP the program and all it started: connections stay open and nobody answers."""
        # a child that ended while its parent is stopped stays a zombie, which nothing stops
        while moving := [pid for pid, state in self._processes().items() if state not in "TtZX"]:
            for pid in moving:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT what `pause` stopped."""
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def error(self, what: str) -> ServerError:
        """Return an error about this program with the tail of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        except OSError as error:
            lines = [str(error)]
        return ServerError("\n".join([f"{self.name} {what}; the end of {self.log}:", *lines]))

    def _processes(self) -> dict[int, str]:
        if self._keeper is None or not self.running:
            raise ServerError(f"{self.name} is not running")
        return keeper.descendants(self._keeper.pid)
