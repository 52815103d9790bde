"""`manage.py fleet`: the stand-in for FCM, APNs, Web Push and devices, for trying senders without phones."""

import argparse
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from fleet.arguments import EXAMPLES, SUMMARY, add_arguments, arguments


class Command(BaseCommand):
    """Become the fleet: nothing of the hub stays in the process."""

    help = SUMMARY
    # What every command takes says nothing about this one.
    suppressed_base_arguments = {
        "--version",
        "--verbosity",
        "--settings",
        "--pythonpath",
        "--traceback",
        "--no-color",
        "--force-color",
        "--skip-checks",
    }
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def add_arguments(self, parser: CommandParser) -> None:
        # The folder in which the hub's own senders look for a fleet.
        add_arguments(parser, data=settings.FLEET_FILE.parent)

    def handle(self, *args: Any, **options: Any) -> None:
        environment = {**os.environ, "PYTHONPATH": str(settings.BASE_DIR)}
        os.execve(sys.executable, [sys.executable, "-m", "fleet", *arguments(options)], environment)
