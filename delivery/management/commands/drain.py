"""`manage.py drain`: has the devices of a web process move to the others, before it is stopped."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery import presence


class Command(BaseCommand):
    """Ask a node to take no new devices and to have the ones it holds move; without a name, list the nodes."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("node", nargs="?", default="", help="A node's name, as the list shows it.")
        parser.add_argument(
            "--seconds", type=float, default=settings.DRAIN_SECONDS, help="Spread over so many."
        )
        parser.add_argument("--back", action="store_true", help="Have the node take part again.")

    def handle(self, *args: Any, node: str, seconds: float, back: bool, **options: Any) -> None:
        nodes = presence.read_figures()
        if not node:
            for name, figures in nodes.items():
                leaving = ", leaving" if figures.get("leaving") else ""
                self.stdout.write(f"{name}: {figures.get('devices', 0):.0f} devices{leaving}")
            if not nodes:
                self.stdout.write("No node gave a sign of life lately.")
            return
        if node not in nodes:
            raise CommandError(f"There is no live node “{node}”; `manage.py drain` lists them.")
        if not back and not any(name != node and not f.get("leaving") for name, f in nodes.items()):
            raise CommandError(f"“{node}” is the only node that takes devices: they could move nowhere.")
        presence.leave(node, seconds, back=back)
        self.stdout.write(
            f"{node} takes part again." if back else f"The devices of {node} move within {seconds:g} s."
        )
