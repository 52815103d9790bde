"""The ASGI application: HTTP goes to Django, what a device stays connected with goes to the node."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path, re_path

django.setup()

from delivery.admin.live import run_socket  # noqa: E402  (these need the app registry)
from delivery.node import streams  # noqa: E402
from delivery.node.consumer import DeviceConsumer  # noqa: E402
from notifyhub.handling import Handler  # noqa: E402

_http = Handler()


async def _no_such_socket(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a WebSocket on any other path (the server answers 403)."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


async def _requests(scope: Any, receive: Any, send: Any) -> None:
    """Serve a device's stream or long poll here, where it holds no thread; everything else is Django's."""
    if streams.serves(scope):
        await streams.lines(scope, receive, send)
    else:
        await _http(scope, receive, send)


# No session, cookie or origin middleware here: a device shows a subscriber token, and the consumer
# checks the origin against its application's own list. The staff's socket reads the session itself.
application = ProtocolTypeRouter(
    {
        "http": _requests,
        "websocket": URLRouter(
            [
                path("ws/v1/", DeviceConsumer.as_asgi()),
                path("ws/admin/runs/<int:run>/", run_socket),  # type: ignore[arg-type]
                re_path(r"^", _no_such_socket),  # type: ignore[arg-type]
            ]
        ),
    }
)
