"""`manage.py recount`: makes the tallies of reports anew from the log, of some runs or of the latest."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from delivery import counting
from delivery.models import Run


class Command(BaseCommand):
    """Count runs anew; what is heard meanwhile is kept and counted afterwards."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", nargs="*", help="Ids of runs; without any, all that the log still holds.")

    def handle(self, *args: Any, run: list[str], **options: Any) -> None:
        runs = Run.objects.order_by("pk")
        if run:
            try:
                ids = [UUID(one) for one in run]
            except ValueError as error:
                raise CommandError(f"A run's id is a UUID: {error}.") from None
            runs = runs.filter(uid__in=ids)
            if missing := set(ids) - set(runs.values_list("uid", flat=True)):
                raise CommandError(f"There is no run {', '.join(sorted(map(str, missing)))}.")
        else:
            runs = runs.filter(created_at__gt=timezone.now() - timedelta(days=settings.LOG_DAYS))
        for one in runs.defer("snapshot").iterator():
            self.stdout.write(f"{one.uid} {one.title}: {counting.recount(one):,} receipts")
