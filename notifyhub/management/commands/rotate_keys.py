"""`manage.py rotate_keys`: writes every stored secret anew with the first key of the ring."""

from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

from devices import secrets
from devices.secrets import EncryptedJSONField


class Command(BaseCommand):
    """Encrypt all secrets with the newest key of the ring, so that older keys can be taken off it.

    First put the new key in front of the ring (NOTIFYHUB_KEY_RING) and restart every process: each of them must be
    able to read what this writes. It may be stopped, repeated and run while the hub works; a row that is written
    meanwhile keeps what was written.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="write nothing; end with an error if anything is to be rotated",
        )

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        waiting = unreadable = 0
        for model in apps.get_models():
            for field in model._meta.concrete_fields:
                if not isinstance(field, EncryptedJSONField):
                    continue
                found = secrets.rotate(model, field.attname, write=not check)
                name = f"{model._meta.label}.{field.attname}"
                done = "to be encrypted anew" if check else "encrypted anew"
                self.stdout.write(
                    f"{name}: {found.rotated} {done}, {found.current} under the newest key already"
                    + (f", {len(found.unreadable)} UNREADABLE" if found.unreadable else "")
                )
                for key in found.unreadable:
                    self.stdout.write(f"  no key on the ring can read {name} of the row {key}")
                waiting += found.rotated
                unreadable += len(found.unreadable)
        if unreadable:
            raise CommandError(
                f"{unreadable} secrets cannot be read; put the key they were written with back on the ring.",
                returncode=1,
            )
        if check and waiting:
            raise CommandError(f"{waiting} secrets are under an older key.", returncode=1)
        self.stdout.write("Every secret is under the newest key." if not check else "Nothing is to be done.")
