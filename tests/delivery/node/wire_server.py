"""Writes as its client tells it: `python -m tests.delivery.node.wire_server KIND SPEED PORT`."""

import json
import os
import sys
from typing import Any

import notifyhub  # noqa: F401  (prepares imports that daphne needs)
from delivery.node.wire import Wire, wire_of

_wires: list[Wire] = []
"""Of all connections there have been."""


def payload(size: int) -> bytes:
    return (b"%d," % size * size)[:size]


def obey(wire: Wire, order: dict[str, Any]) -> bool:
    for size in order.get("write", ()):
        wire.write(payload(size))
    if "say" in order:
        wire.write(order["say"].encode())
    if order.get("ask") == "waiting":
        wire.write(b"%d" % wire.waiting)
    if order.get("ask") == "most waiting":
        wire.write(b"%d" % max(each.waiting for each in _wires))
    if order.get("ask") == "way":
        wire.write(type(wire).__name__.encode())
    if order.get("ask") == "files":
        wire.write(b"%d" % len(os.listdir("/proc/self/fd")))
    if "close" in order:
        wire.close(order["close"])
        for size in order.get("then", ()):
            wire.write(payload(size))
    return True


def application(*, fast: bool) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def wrapped(message: Any) -> None:
            await send(message)

        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        wire = wire_of(send if fast else wrapped)
        _wires.append(wire)
        wire.listen(lambda text: obey(wire, json.loads(text)))
        while (message := await receive())["type"] == "websocket.receive":
            obey(wire, json.loads(message["text"]))

    return app


def main(kind: str, way: str, port: str) -> None:
    app = application(fast=way == "fast")
    if kind == "daphne":
        from notifyhub import lean_daphne

        lean_daphne.server()(app, endpoints=[f"tcp:port={port}:interface=127.0.0.1"], verbosity=0).run()
    else:
        import uvicorn

        uvicorn.run(
            app,
            host="127.0.0.1",
            port=int(port),
            ws="websockets-sansio",
            loop="uvloop",
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
