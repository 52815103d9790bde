"""The ASGI application: HTTP goes to Django, the socket of a device to its consumer."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

_http = get_asgi_application()

from delivery.node.consumer import DeviceConsumer  # noqa: E402  (needs the app registry of the line above)


async def _no_such_socket(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a WebSocket on any other path (the server answers 403)."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


# No session, cookie or origin middleware here: a device shows a subscriber token, and the consumer
# checks the origin against its application's own list.
application = ProtocolTypeRouter(
    {
        "http": _http,
        "websocket": URLRouter(
            [path("ws/v1/", DeviceConsumer.as_asgi()), re_path(r"^", _no_such_socket)]  # type: ignore[arg-type]
        ),
    }
)
