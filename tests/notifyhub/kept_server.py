"""Says what it still holds of connections that are gone: `python -m tests.notifyhub.kept_server KIND PORT`.

A WebSocket is told so at once, and plain HTTP is answered with the same.
"""

import gc
import json
import sys
from collections import Counter
from typing import Any

import notifyhub  # noqa: F401  (prepares imports that daphne needs)
from delivery.node.wire import wire_of

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


def main(kind: str, port: str) -> None:
    """Serve for ever, without Python's looking for rings of references."""
    gc.disable()
    if kind == "daphne":
        from notifyhub import lean_daphne

        endpoint = f"tcp:port={port}:interface=127.0.0.1"
        lean_daphne.server()(application, endpoints=[endpoint], verbosity=0).run()
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
