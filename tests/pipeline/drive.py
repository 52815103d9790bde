"""Runs dramas as a program in the hub's own environment, because the settings of the tests' process are others.

`python -m tests.pipeline.drive sleep` plays one and prints what came of it as one JSON line;
`tests/pipeline` asserts on that. `python -m tests.pipeline.drive --stay 1000` keeps one hub with so many
people and plays what standard input names, `{"drama": "kills", "people": 20000}` a line; at the other end is
`tests.pipeline.company`.
"""

import json
import os
import sys
import traceback

import notifyhub  # noqa: F401  (prepares imports that apns2 and daphne need)


def stay(people: int) -> None:
    """Play what standard input names, until it ends; a failing drama is told and the next one played all the same."""
    from tests.pipeline import crew, faults

    with crew.company_theatre(people) as (scene, hands):
        for line in sys.stdin:
            try:
                asked = json.loads(line)
                said = {"report": faults.play(asked["drama"], scene, hands, people=asked["people"])}
            except Exception:
                said = {"failed": traceback.format_exc()}
            print(json.dumps(said), flush=True)


def main(arguments: list[str]) -> None:
    """Play one drama, or stay for many."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    import django

    django.setup()
    if arguments[0] == "--stay":
        stay(int(arguments[1]))
        return
    from tests.pipeline.dramas import DRAMAS

    print(json.dumps(DRAMAS[arguments[0]]()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
