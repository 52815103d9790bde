"""Runs a drama as a program in the hub's own environment: `python -m tests.pipeline.drive kill`.

It prints what came of it as one JSON line; `tests/pipeline` asserts on that. A program of its own,
because the hub's settings (PostgreSQL, RabbitMQ, …) are not those of the tests' process.
"""

import json
import os
import sys

import notifyhub  # noqa: F401  (prepares imports that apns2 and daphne need)


def main(name: str) -> None:
    """Play one drama."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    import django

    django.setup()
    from tests.pipeline.dramas import DRAMAS

    print(json.dumps(DRAMAS[name]()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
