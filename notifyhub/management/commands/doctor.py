"""`manage.py doctor`: says what is wrong now, counts again what the hub counted, and asks the providers."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from delivery import checking, runs
from delivery.models import Credential, Run
from devices.models import Application
from notifyhub import examining


class Command(BaseCommand):
    """Examine the hub.

    `hub`: what keeps anything from being sent now? `ledger`: does every run's sum agree with the rows of the stopped
    and with the log? `providers`: do FCM, APNs and the push services take the credentials of every application?
    """

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        examinations = parser.add_subparsers(dest="examination", required=True)
        examinations.add_parser("hub", help="say what is wrong now, and what to do about it")
        ledger = examinations.add_parser("ledger", help="compare every run's sums with independent counts")
        ledger.add_argument("--run", type=UUID, default=None, help="only this run (its uid)")

        providers = examinations.add_parser(
            "providers", help="ask the providers whether they take the credentials"
        )
        providers.add_argument("--application", default="", help="only this application (its slug)")

    def handle(self, *args: Any, examination: str, **options: Any) -> None:
        if examination == "hub":
            self._hub()
        elif examination == "ledger":
            self._ledger(options["run"])
        else:
            self._providers(options["application"])

    def _hub(self) -> None:
        found = list(examining.findings())
        for finding in found:
            self.stdout.write(f"{'!' if finding.wrong else ' '} {finding.sentence}")
        if wrong := sum(finding.wrong for finding in found):
            raise CommandError(f"{wrong} of these need somebody (marked !).", returncode=1)
        self.stdout.write("Nothing is wrong.")

    def _providers(self, slug: str) -> None:
        chosen = Credential.objects.select_related("application").order_by("application__slug", "provider")
        if slug:
            chosen = chosen.filter(application__slug=slug)
            if not Application.objects.filter(slug=slug).exists():
                raise CommandError(f"There is no application '{slug}'.")
        refused = 0
        for credential in chosen:
            found = checking.check(credential)
            refused += not found.accepted
            word = "accepted" if found.accepted else f"NOT ACCEPTED ({found.code})"
            self.stdout.write(
                f"{credential.application.slug} {credential.provider}: {word}. {found.sentence}"
            )
        if refused:
            raise CommandError(f"{refused} of {len(chosen)} credentials are not accepted.", returncode=1)
        self.stdout.write(f"{len(chosen)} credentials, all accepted.")

    def _ledger(self, run: UUID | None) -> None:
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
