"""A program of its own: senders of the same events, engines and clocks at once on one database; prints the counts."""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

EVENTS = 1_500
SENDERS = ENGINES = CLOCKS = 3
CLASHING = 7


def main() -> None:
    """Set the database up, let everybody work at once, and print one JSON line."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "notifyhub.settings"
    import django

    import notifyhub  # noqa: F401  (prepares imports that apns2 and daphne need)

    django.setup()
    from django.core.management import call_command
    from django.db import connections
    from django.utils import timezone

    from campaigns import clock, engine, launching
    from campaigns.intake import Sender, accept
    from campaigns.models import Campaign, Decision, Event, EventType, Rule, Schedule
    from delivery import bell
    from delivery.models import Page, Run
    from delivery.snapshot import decode_people
    from devices.models import ApiKey, Application, Subscriber

    call_command("migrate", verbosity=0)
    call_command("migrate", database="log", verbosity=0) if "log" in connections else None
    bell.ring = lambda stage, lane: None
    application = Application.objects.create(name="Shop", slug="shop")
    key = ApiKey.objects.create(
        application=application, name="key", prefix="p", digest="d", lanes=["high"], scopes=[]
    )
    Subscriber.objects.bulk_create(
        Subscriber(application=application, external_id=f"p{number}") for number in range(100)
    )
    kind = EventType.objects.create(application=application, name="order", lane="high")
    campaign = Campaign.objects.create(application=application, name="Orders", title="{{ event.id }}")
    launching.approve(campaign, by="test")
    Rule.objects.create(application=application, event_type=kind, name="all", campaign=campaign)
    tick = EventType.objects.create(application=application, name="tick", senders=["clock"])
    now = timezone.now()
    Schedule.objects.create(
        application=application,
        name="Ticks",
        event_type=tick,
        crontab="0 0 1 1 *",
        due_at=now - timedelta(days=800),
    )
    later = Campaign.objects.create(
        application=application, name="Later", title="x", send_at=now + timedelta(minutes=1)
    )
    launching.launch(later, by="test")
    counts = {"stored": 0, "repeated": 0, "rejected": 0}
    errors: list[str] = []
    lock, sent = threading.Lock(), threading.Event()

    def send(seed: int) -> None:
        order = random.Random(seed).sample(range(EVENTS), EVENTS)
        for start in range(0, EVENTS, 250):
            taken = accept(
                application,
                [
                    {
                        "specversion": "1.0",
                        "id": str(number),
                        "source": "/shop",
                        "type": "order",
                        "subject": f"p{number % 100}",
                        "data": seed if number == CLASHING else number,
                    }
                    for number in order[start : start + 250]
                ],
                Sender.key(key),
            )
            with lock:
                counts["stored"] += len(taken.stored)
                counts["repeated"] += taken.repeated
                counts["rejected"] += len(taken.rejected)

    def decide(_: int) -> None:
        while not sent.is_set() or Event.objects.filter(decided=False, lane="high").exists():
            if not engine.decide("high", limit=100):
                time.sleep(0.01)

    def watch(_: int) -> None:
        for _ in range(3):
            clock.tick(timezone.now() + timedelta(minutes=2))

    def start(work: Callable[[int], None], number: int) -> list[threading.Thread]:
        def guarded(index: int) -> None:
            try:
                work(index)
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
            finally:
                connections.close_all()

        threads = [threading.Thread(target=guarded, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        return threads

    engines = start(decide, ENGINES)
    for thread in [*start(send, SENDERS), *start(watch, CLOCKS)]:
        thread.join()
    sent.set()
    for thread in engines:
        thread.join()
    people: list[Any] = [
        named for page in Page.objects.exclude(people=None) for named in decode_people(bytes(page.people))
    ]
    print(
        json.dumps(
            {
                **counts,
                "errors": errors,
                "decisions": Decision.objects.filter(event__lane="high").count(),
                "told": len(people),
                "told_once": len({named.occurrence for named in people}),
                "standing": Run.objects.filter(kind="standing").count(),
                "launched": Run.objects.filter(kind="audience").count(),
                "ticks": Event.objects.filter(type="tick").count(),
            }
        )
    )


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main()
