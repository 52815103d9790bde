"""Daphne without what it does for each connection again and again, or keeps of one for ever.

It goes through all connections every second, and it and Autobahn format debug lines that nobody reads. Twisted's HTTP
channel and request, which a WebSocket came through, hold each other and are held by the transport: a third of an idle
connection's memory, and more of a dead one's until Python looks for rings of references, which this process has it do
rarely (`notifyhub/collecting.py`). All of it is named here and nowhere else.
"""

import time
from collections.abc import Callable
from typing import Any

FEW = 200
LOOK_EVERY = 10.0
"""Seconds between two looks at more connections than a few: for what has failed or timed out, which is late by that."""


def server() -> Any:
    """Return Daphne's `Server`, made lean; a process calls this once."""
    from daphne.server import Server
    from twisted.internet import reactor

    _have_autobahn_say_less()
    _leave_http_behind()

    class Lean(Server):  # type: ignore[misc]  # Daphne has no types
        looked: dict[str, float]

        def application_checker(self) -> None:
            self._calmly(super().application_checker)

        def timeout_checker(self) -> None:
            self._calmly(super().timeout_checker)

        def _calmly(self, look: Callable[[], None]) -> None:
            """Look now, which asks for the next turn too, or ask for the next turn alone."""
            self.looked = getattr(self, "looked", {})
            now = time.monotonic()
            if len(self.connections) < FEW or now - self.looked.get(look.__name__, 0.0) > LOOK_EVERY:
                self.looked[look.__name__] = now
                look()
            else:
                later: Any = reactor
                later.callLater(1, getattr(self, look.__name__))

        def create_application(self, protocol: Any, scope: Any) -> Any:
            queue = super().create_application(protocol, scope)
            if scope["type"] == "websocket" and protocol in self.connections:
                running = self.connections[protocol]["application_instance"]
                running.add_done_callback(lambda done: self._forget(protocol, done))
            return queue

        def protocol_disconnected(self, protocol: Any) -> None:
            super().protocol_disconnected(protocol)
            closed = getattr(protocol, "is_closed", None)  # a WebSocket's; nobody asks for it any more
            if closed is not None and closed.called:
                protocol.is_closed = None  # its result is the protocol itself

        def _forget(self, protocol: Any, done: Any) -> None:
            """Forget a socket whose device is gone and whose application has ended well; others are looked at."""
            details = self.connections.get(protocol, {})
            if details.get("disconnected") and not done.cancelled() and done.exception() is None:
                del self.connections[protocol]

    return Lean


def _leave_http_behind() -> None:
    """Have a connection that became a WebSocket let go of the HTTP channel and request that it came through."""
    from daphne import http_protocol
    from twisted.internet import reactor

    later: Any = reactor

    class Request(http_protocol.WebRequest):  # type: ignore[misc]
        def process(self) -> Any:
            transport, channel = self.transport, self.channel
            working = super().process()
            if transport is not None and self.transport is None:  # it is the WebSocket's now
                later.callLater(0, _part, self, channel, transport)
            return working

    http_protocol.WebRequest = Request


def _part(request: Any, channel: Any, transport: Any) -> None:
    transport.unregisterProducer()
    channel.setTimeout(None)
    channel.requests.clear()
    channel.transport = channel._networkProducer = None
    request.channel = None


def _have_autobahn_say_less() -> None:
    """Replace what Autobahn spends on debug lines that nobody reads: a fifth of what a connection costs.

    It pretty-prints all its settings for each connection, and names itself in colours for each read and write.
    """
    from autobahn.twisted import websocket as twisted
    from autobahn.websocket import protocol

    def nothing(*given: Any, **named: Any) -> str:
        return ""

    for module in (protocol, twisted):
        for name in ("pformat", "hltype", "hlval"):
            if hasattr(module, name):
                setattr(module, name, nothing)
