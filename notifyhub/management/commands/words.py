"""`manage.py words`: brings `locale/` up to what the sources say, and compiles it."""

from typing import Any

from django.core.management.base import BaseCommand

from notifyhub import catalogues


class Command(BaseCommand):
    """Gathers the texts, keeps the translations there are, and names what is still to be translated."""

    help = "Gather the texts to be translated into locale/*/LC_MESSAGES/django.po, and compile them."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for language in catalogues.LANGUAGES:
            missing = catalogues.update(language)
            catalogues.compile_(language)
            self.stdout.write(f"{language}: {len(missing)} texts to translate in {catalogues.po(language)}")
            for one in missing:
                self.stdout.write(f"  {one.id}")
