"""What a thread waits for: sockets, names that are being looked up, and the engines' own clocks."""

import contextlib
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

READ, WRITE = select.POLLIN, select.POLLOUT
BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL
LONGEST_WAIT = 1.0

Addresses = list[tuple[int, tuple[Any, ...]]]
"""Families and socket addresses, the best first."""


class Part(Protocol):
    """Something that has work in this thread."""

    def prepare(self, now: float) -> float:
        """Do what does not wait for a socket, write what is to be written; return when to be called at the latest."""


class Loop:
    """One for each thread; nothing of it may be used by another."""

    def __init__(self) -> None:
        self.parts: dict[Part, None] = {}
        """Whoever has work under way, in the order in which it was begun."""
        self.now = time.monotonic()
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._found: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.pid = os.getpid()
        self._bell: tuple[socket.socket, socket.socket] | None = None

    def watch(self, descriptor: int, mask: int, handler: Callable[[int], None]) -> None:
        """Call the handler with what a descriptor is ready for, until `forget`; again to change the mask."""
        self._poll.register(descriptor, mask)
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more; do so before it is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            with contextlib.suppress(KeyError, OSError):
                self._poll.unregister(descriptor)

    def turn(self, *, wait: float = LONGEST_WAIT) -> None:
        """Let everything that has work do some, and wait for what comes next, so many seconds at most."""
        now = self.now = time.monotonic()
        wake = now + wait
        for part in [*self.parts]:
            wake = min(wake, part.prepare(now))
        # Rounded up: a wait that ends just before its time would be followed by one of no time at all.
        ready = self._poll.poll(max(0.0, (wake - time.monotonic()) * 1000 + 0.999))
        self.now = time.monotonic()
        for descriptor, event in ready:
            handler = self._handlers.get(descriptor)
            if handler is not None:
                handler(event)

    def __del__(self) -> None:
        for end in self._bell or ():
            end.close()

    def resolve(self, host: str, port: int, then: Callable[[Addresses | OSError], None]) -> None:
        """Look a name up in a thread of its own, for that may take half a minute; an address is no name."""
        try:
            addresses = _look_up(host, port, socket.AI_NUMERICHOST)
        except OSError:
            if self._bell is None:
                self._bell = socket.socketpair()
                self._bell[0].setblocking(False)
                self.watch(self._bell[0].fileno(), READ, self._answer_bell)
            bell = self._bell[1]

            def look() -> None:
                found: Addresses | OSError
                try:
                    found = _look_up(host, port, 0)
                except OSError as error:
                    found = error
                self._found.put(lambda: then(found))
                with contextlib.suppress(OSError):
                    bell.send(b"\0")

            threading.Thread(target=look, name=f"look up {host}", daemon=True).start()
        else:
            then(addresses)

    def _answer_bell(self, _event: int) -> None:
        assert self._bell is not None
        with contextlib.suppress(BlockingIOError):
            self._bell[0].recv(1024)
        with contextlib.suppress(queue.Empty):
            while True:
                self._found.get_nowait()()


def _look_up(host: str, port: int, flags: int) -> Addresses:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


_threads = threading.local()


def thread_loop() -> Loop:
    """Return the calling thread's loop, made after fork."""
    loop: Loop | None = getattr(_threads, "loop", None)
    if loop is None or loop.pid != os.getpid():
        loop = _threads.loop = Loop()
    return loop
