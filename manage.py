#!/usr/bin/env python3
"""The command line of the hub: every command is run through here."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    from django.core.management import execute_from_command_line

    import notifyhub  # noqa: F401  (prepares imports that daphne and apns2 need)

    try:
        execute_from_command_line(sys.argv)
    except Exception as error:
        from notifyhub.commandline import sentence_of

        sentence = sentence_of(error)
        if not sentence or "--traceback" in sys.argv:
            raise
        sys.exit(f"manage.py: {sentence}")


if __name__ == "__main__":
    main()
