"""What every test server can do: start, stop, be killed, restart on the same data and ports, pause and resume."""

import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from tests.servers.process import Process, ServerError


class Server(ABC):
    """One server, or a cluster of them, whose data lies in a subfolder of the folder that the caller gives.

    As a context manager it is started on entry and stopped on exit. The ports are chosen when the object is made and
    stay the same for its life. `stop` removes the data unless `keep` is true; `kill` and `restart` never do.
    """

    name: ClassVar[str]
    max_seconds_to_start: ClassVar[float] = 180.0

    def __init__(self, folder: Path, *, keep: bool = False, port: int) -> None:
        self.port = port
        self.home = folder.resolve() / f"{self.name}-{port}"
        self.keep = keep
        self.startup_seconds = 0.0
        """How long the last start took."""

    def start(self) -> None:
        """Start on the data that is there, or on new data, and return when a client is really answered.

        Raises `ServerError` with the tail of the log, and leaves nothing running.
        """
        if any(process.running for process in self.processes):
            raise ServerError(f"{self.name} is already running: stop or kill it first")
        began = time.monotonic()
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self._start()
        except BaseException:
            self.kill()
            raise
        self.startup_seconds = time.monotonic() - began

    def stop(self) -> None:
        """End the server and remove its data; with `keep` end it in an orderly way and leave the data."""
        if self.keep:
            self._end_orderly()
        else:
            self.kill()
            self._discard()

    def kill(self) -> None:
        """SIGKILL every process of the server; `start` brings it back on the same data and ports."""
        for process in self.processes:
            process.kill()

    def restart(self) -> None:
        """End the server in an orderly way, if it runs, and start it on the same data and ports."""
        self._end_orderly()
        self.start()

    def pause(self) -> None:
        """SIGSTOP every process: connections stay open and nobody answers."""
        for process in self.processes:
            process.pause()

    def resume(self) -> None:
        """SIGCONT what `pause` stopped."""
        for process in self.processes:
            process.resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    @abstractmethod
    def processes(self) -> list[Process]:
        """The processes of the server, in the order they are ended; none before the first start."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The environment variables by which the product uses this server (`docs/reference/settings.md`)."""

    @abstractmethod
    def _start(self) -> None:
        """Make what is missing in `home`, start the processes and wait until a client is answered."""

    def _end_orderly(self) -> None:
        for process in self.processes:
            process.stop()

    def _discard(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
