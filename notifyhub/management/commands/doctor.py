"""`manage.py doctor`: compares what the hub counted with what can be counted again."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery import runs
from delivery.models import Run


class Command(BaseCommand):
    """Examine the hub. `ledger`: does every run's sum agree with the rows of the stopped and with the log?"""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        examinations = parser.add_subparsers(dest="examination", required=True)
        ledger = examinations.add_parser("ledger", help="compare every run's sums with independent counts")
        ledger.add_argument("--run", type=UUID, default=None, help="only this run (its uid)")

    def handle(self, *args: Any, run: UUID | None = None, **options: Any) -> None:
        chosen = Run.objects.order_by("pk")
        if run is not None:
            chosen = chosen.filter(uid=run)
            if not chosen.exists():
                raise CommandError(f"There is no run {run}.")
        wrong = counted = 0
        for each in chosen.iterator(chunk_size=100):
            counted += 1
            balance = runs.balances(each)
            if balance.faults:
                wrong += 1
                self.stdout.write(f"{each.uid} {each.state} {each.title}")
                for fault in balance.faults:
                    self.stdout.write(f"  {fault}")
        if wrong:
            raise CommandError(f"{wrong} of {counted} runs do not balance.", returncode=1)
        self.stdout.write(f"{counted} runs, all balanced.")
