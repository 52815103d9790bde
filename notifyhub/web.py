"""The web process: Daphne, serving HTTP and WebSockets. Run as `python -m notifyhub.web`.

Being a module of ours, it has the package `notifyhub` imported before Daphne pulls in Twisted,
whose HTTP/2 needs what that package prepares.
"""

import os
import sys

from daphne.cli import CommandLineInterface

from notifyhub import settings


def main() -> None:
    """Serve until a signal."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    CommandLineInterface().run(
        [
            *("--bind", settings.BIND, "--port", str(settings.PORT)),
            "--no-server-name",
            *("--application-close-timeout", "5"),
            # Thousands of devices that come back at once are let in one after the other; five seconds is too short.
            *("--websocket_connect_timeout", "30"),
            *("--verbosity", "0"),
            *sys.argv[1:],
            "notifyhub.asgi:application",
        ]
    )


if __name__ == "__main__":
    main()
