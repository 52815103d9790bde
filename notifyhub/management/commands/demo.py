"""`manage.py demo`: shows the whole path, from a campaign and an event to phones, browsers and TVs."""

import sys
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Start the hub and a fleet that stands in for phones and TVs, and run a sample campaign."""

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="print one line of JSON last, and end")
        parser.add_argument("--subscribers", type=int, default=1000, metavar="N", help="sample people (1000)")

    def handle(self, *args: Any, once: bool, subscribers: int, **options: Any) -> None:
        if not 20 <= subscribers <= 1_000_000:
            raise CommandError("--subscribers must be between 20 and 1,000,000.", returncode=2)
        call_command("prepare", stdout=sys.stderr)  # standard output is the report's
        # Only now: the fleet's packages are needed by this command alone.
        from notifyhub.demo import hub, show, watch
        from notifyhub.redis_binary import RedisNotFoundError
        from notifyhub.supervisor import StartError

        try:
            line = show.play(subscribers=subscribers, once=once)
        except (StartError, RedisNotFoundError) as error:
            raise CommandError(str(error), returncode=2) from None
        except (hub.HubError, show.ShowError, watch.WatchError) as error:
            raise CommandError(str(error), returncode=1) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None
        if once:
            self.stdout.write(line)
