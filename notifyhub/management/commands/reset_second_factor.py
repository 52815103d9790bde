"""`manage.py reset_second_factor NAME`: lets a member of the staff set up a new second factor."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from devices.models import SecondFactor


class Command(BaseCommand):
    """Forget the second factor of an account whose phone and recovery codes are gone."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        if not SecondFactor.objects.filter(user__username=username).delete()[0]:
            raise CommandError(f"No account “{username}” with a second factor.")
        self.stdout.write(f"The second factor of {username} is reset.")
