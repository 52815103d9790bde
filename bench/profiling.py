"""py-spy beside every process of a hub, from the beginning of a run to its end."""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from bench import meter

LONGEST = 3_600
"""Seconds after which py-spy ends by itself."""
RATE = 250


class Profilers:
    """A context in which every Python process of a hub is looked at; writes `NAME-PART-PID.raw` at its end.

    Only threads that hold the GIL count, and nothing is stopped for a sample: with native stacks or stopping, the
    speed falls to a third and waiting threads look busy.
    """

    def __init__(self, supervisor: int, folder: Path, name: str) -> None:
        self._supervisor = supervisor
        self._folder = folder
        self._name = name
        self._spies: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> None:
        spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--gil", "--nonblocking"]
        options = ["--duration", str(LONGEST), "--rate", str(RATE), "--format", "raw"]
        for process in meter.tree(meter.table(), [self._supervisor]):
            part = meter.role(process.pid)
            if part in (meter.REDIS, meter.GONE) or process.pid == self._supervisor:
                continue
            out = self._folder / f"{self._name}-{part}-{process.pid}.raw"
            command = [*spy, *options, "--output", str(out), "--pid", str(process.pid)]
            self._spies.append(
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for spy in self._spies:
            spy.send_signal(signal.SIGINT)  # it then writes what it has
        for spy in self._spies:
            try:
                spy.wait(30)
            except subprocess.TimeoutExpired:
                spy.kill()
                spy.wait()
