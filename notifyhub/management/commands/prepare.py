"""`manage.py prepare`: makes what a hub needs before its first start, and brings a newer version's tables."""

import os
import secrets
import sys
from io import StringIO
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from notifyhub import folder
from notifyhub.supervisor import StartError, check_prepared

ADMINISTRATOR = "admin"


class Command(BaseCommand):
    """Make the secrets and the administrator that are missing, and bring the tables up to date. Safe to run again."""

    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            check_prepared(settings.DATA_DIR)
        except StartError:
            folder.prepare(settings.DATA_DIR)
            sys.stdout.flush()
            # Settings are read once, at the start of a process: begin again with the new secrets.
            os.execv(sys.executable, [sys.executable, *sys.argv])
        for alias, database in settings.DATABASES.items():
            if database["ENGINE"] == "django_cassandra_engine":
                # Its own `migrate` hands options on that `sync_cassandra` does not know.
                call_command("sync_cassandra", database=alias, verbosity=0, stdout=StringIO())
            else:
                call_command("migrate", database=alias, interactive=False, verbosity=0)
        users = get_user_model()
        if users.objects.filter(is_superuser=True).exists():
            return
        password = secrets.token_urlsafe(12)
        users.objects.create_superuser(ADMINISTRATOR, password=password)
        self.stdout.write(
            f"Administrator: {ADMINISTRATOR}, password: {password}\n"
            "It is shown this once: change it at /admin/password_change/ after signing in."
        )
        self.stdout.flush()
