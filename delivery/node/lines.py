"""What a node's devices are connected with: every open line, and the connections of devices that showed a token."""

from collections.abc import Iterator
from typing import Protocol

from delivery.node.alarms import Alarms, Watched
from delivery.node.connection import Connection
from devices.tokens import Identity


class Line(Watched, Protocol):
    """What a device is connected with.

    `identity` is None until the token was believed that it began to show at `shown_at` (monotonic seconds).
    """

    identity: Identity | None
    shown_at: float

    def end(self, code: int) -> None:
        """End it with a code."""
        ...

    def move(self, within: float) -> None:
        """Ask the device to come back on another line within some seconds, and see that this one ends."""
        ...


class Lines:
    """The table of a node."""

    def __init__(self) -> None:
        self.open: dict[Line, None] = {}
        """Every open line, those too that have shown no token yet, in the order they came."""
        self.by_device: dict[bytes, list[Connection]] = {}
        self.alarms = Alarms()

    def enter(self, line: Line, at: float) -> None:
        """Keep a line in view, and look at it at an instant (monotonic seconds)."""
        self.open[line] = None
        self.alarms.set(at, line)

    def leave(self, line: Line) -> None:
        """Forget a line."""
        self.open.pop(line, None)
        self.alarms.forget(line)

    def connections(self) -> Iterator[Connection]:
        """Yield every connection there is now."""
        for held in list(self.by_device.values()):
            yield from list(held)
