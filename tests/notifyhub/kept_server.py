"""Says what it still holds of connections that are gone: `python -m tests.notifyhub.kept_server KIND PORT`.

A WebSocket is told so at once, and plain HTTP is answered with the same. The kind `daphne-looking` is Daphne that looks
at its connections whenever an application has just ended, as it may do at any time.
"""

import asyncio
import gc
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import notifyhub  # noqa: F401  (prepares imports that daphne needs)
from delivery.node.wire import wire_of

at_the_end: list[Callable[[], None]] = []
"""What to do when a socket's application has ended, before the server hears of it."""
LOOKED_FOR = ("WebSocketProtocol", "WebSocketsSansIOProtocol", "HTTPChannel", "Request", "DaphneWire", "Line")


class Line:
    """Listens to a wire, as a consumer does."""

    def __init__(self, send: Any) -> None:
        self.wire = wire_of(send)
        self.wire.listen(self.take)

    def take(self, payload: bytes) -> bool:
        """Answer with what is held."""
        self.wire.write(_kept())
        return True


def _kept() -> bytes:
    counts = Counter(type(one).__name__ for one in gc.get_objects())
    return json.dumps({name: counts[name] for name in LOOKED_FOR}).encode()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve a WebSocket or a request."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": _kept()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    line = Line(send)
    line.wire.write(_kept())
    while (await receive())["type"] == "websocket.receive":
        line.wire.write(_kept())
    line.wire.listen(None)
    for act in at_the_end:
        asyncio.get_running_loop().call_soon(act)


def main(kind: str, port: str) -> None:
    """Serve for ever, without Python's looking for rings of references."""
    gc.disable()
    if kind.startswith("daphne"):
        from notifyhub import lean_daphne

        endpoint = f"tcp:port={port}:interface=127.0.0.1"
        server = lean_daphne.server()(application, endpoints=[endpoint], verbosity=0)
        if kind == "daphne-looking":
            at_the_end.append(server.application_checker)
        server.run()
    else:
        import uvicorn

        uvicorn.run(
            application,
            port=int(port),
            ws="websockets-sansio",
            loop="uvloop",
            lifespan="off",
            log_level="error",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
