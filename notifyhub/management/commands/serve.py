"""`manage.py serve`: runs the whole hub."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connections
from django.db.migrations.executor import MigrationExecutor


class Command(BaseCommand):
    """Run the hub: Redis (the embedded one), web, both workers and the clock, until Ctrl-C or SIGTERM."""

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", default="", metavar="PARTS")
        parser.add_argument("--without", default="", metavar="PARTS")

    def handle(self, *args: Any, only: str, without: str, **options: Any) -> None:
        self.check(databases=[])
        _check_tables()
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])
        )
        sys.stdout.flush()
        # Another program in this process's place: the supervisor needs none of what Django has loaded.
        os.execv(
            sys.executable,
            [sys.executable, "-m", "notifyhub.supervisor", f"--only={only}", f"--without={without}"],
        )


def _check_tables() -> None:
    """Refuse to start on the tables of an older version. A database that is away is not waited for: the parts do."""
    for alias, database in settings.DATABASES.items():
        if database["ENGINE"] == "django_cassandra_engine":
            continue
        try:
            executor = MigrationExecutor(connections[alias])
            waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except OperationalError:
            return
        finally:
            connections[alias].close()
        if waiting:
            raise CommandError(
                f"The tables are missing or older than this version ({len(waiting)} migrations wait): "
                "run `manage.py prepare`."
            )
