"""The web process: Daphne or uvicorn, serving HTTP and WebSockets. Run as `python -m notifyhub.web`.

Being a module of ours, it has the package `notifyhub` imported before Daphne pulls in Twisted,
whose HTTP/2 needs what that package prepares.

On SIGTERM the devices of this node are asked to move to other nodes, a share at a time, and then the process ends;
on SIGINT, or a second SIGTERM, it ends at once.
"""

import asyncio
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")

import django

from notifyhub import settings
from notifyhub.collecting import collect_less

CONNECT_SECONDS = 30
"""Thousands of devices that come back at once are let in one after the other; five seconds are too short."""


async def _leave() -> None:
    from delivery.node.table import node

    await node().leave(settings.DRAIN_SECONDS)


def _daphne() -> None:
    from daphne.endpoints import build_endpoint_description_strings

    from delivery.node.frames import INBOUND_LIMIT
    from notifyhub import lean_daphne
    from notifyhub.asgi import application

    server: Any = lean_daphne.server()(
        application,
        endpoints=build_endpoint_description_strings(host=settings.BIND, port=settings.PORT),
        signal_handlers=False,
        application_close_timeout=5,
        websocket_connect_timeout=CONNECT_SECONDS,
        websocket_handshake_timeout=CONNECT_SECONDS,
        websocket_max_message_size=INBOUND_LIMIT,
        websocket_max_frame_size=INBOUND_LIMIT,
        # devices ping, and the node looks for the silent ones: a second beat would cost as much again
        ping_interval=86_400,
        server_name="",
        verbosity=0,
        ready_callable=lambda: _made(server),
    )
    server.run()


def _made(server: Any) -> None:
    """Set what Daphne's options do not reach, right before it serves."""
    # a device that breaks the protocol is told with which code (1002, 1007, 1009) before it is dropped
    server.ws_factory.setProtocolOptions(failByDrop=False)
    _obey_signals(server.stop)


def _obey_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_event_loop()
    asked: set[asyncio.Task[None]] = set()

    def terminate() -> None:
        if asked:
            return stop()
        task = loop.create_task(_leave())
        asked.add(task)
        task.add_done_callback(lambda _: stop())

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, stop)


def _uvicorn() -> None:
    import uvicorn

    from delivery.node.frames import INBOUND_LIMIT

    class Server(uvicorn.Server):
        at_once = False

        def handle_exit(self, sig: int, frame: Any) -> None:
            self.at_once = self.should_exit or sig == signal.SIGINT
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: Any = None) -> None:
            leaving = asyncio.create_task(_leave())
            while not leaving.done() and not self.at_once:
                await asyncio.wait([leaving], timeout=0.1)
            leaving.cancel()
            await super().shutdown(sockets)

    Server(
        uvicorn.Config(
            "notifyhub.asgi:application",
            host=settings.BIND,
            port=settings.PORT,
            loop="uvloop",
            ws="websockets-sansio",
            ws_max_size=INBOUND_LIMIT,
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    ).run()


SERVERS = {"daphne": _daphne, "uvicorn": _uvicorn}


def _open_many_files() -> None:
    """Let this process hold as many sockets as the system allows: the soft limit is often 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Serve until a signal."""
    _open_many_files()
    django.setup()
    collect_less()
    SERVERS[settings.SERVER]()


if __name__ == "__main__":
    main()
