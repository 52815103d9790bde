"""`manage.py stop`: nothing more of an application, or of one of its lanes, is sent; `--resume` lets it go on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery import holds
from delivery.lanes import LANES
from delivery.models import Hold
from devices import audit
from devices.models import Application


class Command(BaseCommand):
    """Stop all, or let it go on."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--application", required=True, metavar="SLUG", help="whose")
        parser.add_argument("--lane", choices=LANES, default="", help="only this lane; else every lane")
        parser.add_argument("--reason", default="", help="for those who wonder why nothing is sent")
        parser.add_argument("--resume", action="store_true", help="end the stop")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, lane = options["application"], options["lane"]
        application = Application.objects.filter(slug=slug).first()
        if application is None:
            known = ", ".join(Application.objects.order_by("slug").values_list("slug", flat=True)[:20])
            raise CommandError(f"There is no application “{slug}”; there are {known or 'none yet'}.")
        by = f"{audit.command().actor} (manage.py stop)"
        if options["resume"]:
            try:
                lanes = holds.resume(application, lane=lane, by=by)
            except holds.NotHeldError as error:
                raise CommandError(str(error)) from None
            audit.note(audit.command(), "resume", application, says=lane or "every lane")
            self.stdout.write(f"{application} goes on: {', '.join(one or 'every lane' for one in lanes)}.")
            left = Hold.objects.filter(application=application).values_list("lane", flat=True)
            if left:
                self.stdout.write(f"Still stopped: {', '.join(one or 'every lane' for one in left)}.")
            return
        holds.stop(application, lane=lane, by=by, reason=options["reason"])
        said = f"{lane or 'every lane'}: {options['reason']}"
        audit.note(audit.command(), "stop", application, says=said)
        self.stdout.write(
            f"{application} is stopped: {f'the lane {lane}' if lane else 'every lane'}. What waits is kept; "
            f"go on with: manage.py stop --application {slug}{f' --lane {lane}' if lane else ''} --resume"
        )
