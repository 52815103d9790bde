"""The course of `python -m bench segments`, in a process with the hub's settings: fills, counts, imports."""

import io
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.course import tell

DAYS = 30


class Course(msgspec.Struct, frozen=True):
    """What to measure, and where the report goes."""

    subscribers: int
    rows: int
    rounds: int
    out: str


class Counted(msgspec.Struct, frozen=True):
    """One predicate: what the builder was told and after how long, and what is true."""

    name: str
    seconds: float
    slowest: float
    people: int
    margin: int
    exact: bool
    true: int
    true_seconds: float

    @property
    def holds(self) -> bool:
        """Whether the truth is within the margin."""
        return abs(self.people - self.true) <= self.margin


class Report(msgspec.Struct, frozen=True):
    """What was measured; seconds are wall time."""

    subscribers: int
    counts: list[Counted]
    import_rows: int
    import_read_seconds: float
    import_seconds: float
    facts_ms_per_page: float


PREDICATES: dict[str, Any] = {
    "everybody": None,
    "attribute": {"attribute": "plan", "is": "pro"},
    "number": {"attribute": "points", "above": 900},
    "tag": {"tag": "vip"},
    "language": {"locale": "de"},
    "rare": {"attribute": "points", "is": 7},
    "one person": {"external_id": "person-0000777"},
    "platform": {"platform": ["tv", "stick"]},
    "no device": {"not": {"any": [{"platform": "android"}, {"platform": "ios"}, {"platform": "tv"}]}},
    "opened": {"opened": {"at_least": 2, "within_days": 14}},
    "never opened": {"opened": {"at_most": 0, "within_days": 30}},
    "all together": {
        "all": [
            {"any": [{"attribute": "plan", "is": "pro"}, {"tag": "vip"}]},
            {"locale": ["de", "fr"]},
            {"opened": {"within_days": 30}},
            {"not": {"event": "com.example.bought", "at_least": 3, "within_days": 7}},
            {"platform": "android"},
        ]
    },
}


def _people(count: int, dice: random.Random) -> Iterator[tuple[str, ...]]:
    for number in range(count):
        attributes = {"plan": dice.choice(("pro", "free", "free", "free")), "points": dice.randrange(1_000)}
        if dice.random() < 0.05:
            attributes["tags"] = ["vip"]
        # people who come together are alike: languages change with the years
        locale = dice.choice(("en", "de", "fr") if number % 200_000 < 100_000 else ("en", "ja", "de"))
        yield f"{dice.getrandbits(128):032x}", f"person-{number:07}", locale, json.dumps(attributes)


def _devices(count: int, first: int, dice: random.Random) -> Iterator[tuple[str | int, ...]]:
    platforms = (("android", "fcm"), ("ios", "apns"), ("tv", "socket"), ("web", "socket"))
    for number in range(count):
        platform, provider = dice.choices(platforms, (45, 35, 10, 10))[0]
        yield first + number, f"{dice.getrandbits(128):032x}", platform, provider, f"token-{number}"


def _fill(course: Course) -> Any:
    from bench.bulk import fill
    from devices.models import Application, Device, Segment, Subscriber

    dice = random.Random(1)
    application = Application.objects.create(slug="bench", name="Bench")
    tell(f"filling in {course.subscribers:,} subscribers")
    first = fill(
        Subscriber(application=application),
        ("uid", "external_id", "locale", "attributes"),
        _people(course.subscribers, dice),
    )
    fill(
        Device(application=application),
        ("subscriber", "uid", "platform", "provider", "token"),
        _devices(course.subscribers, first, dice),
    )
    for name, predicate in PREDICATES.items():
        if predicate is not None:
            Segment.objects.create(application=application, name=name, predicate=predicate)
    _fill_facts(application, first, course.subscribers)
    return application


def _fill_facts(application: Any, first: int, count: int) -> None:
    from django.db import connection

    from devices import facts

    tell("filling in what they did")
    kinds = facts.wanted(application.pk)
    with connection.cursor() as cursor:
        for name, share in (("opened", 0.4), ("event:com.example.bought", 0.1)):
            cursor.execute(
                "INSERT INTO devices_fact (subscriber_id, kind_id, day, count)"
                " SELECT s, %s, current_date - d * 3, 1 + (s + d) %% 3 FROM generate_series(%s::bigint, %s) s,"
                " generate_series(0, 9) d WHERE (s * 7919 + d * 104729) %% 1000 < %s",
                [kinds[name], first, first + count - 1, int(share * 1000)],
            )
        for table in ("devices_fact", "devices_subscriber", "devices_device"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def _counted(application: Any, name: str, predicate: Any, rounds: int) -> Counted:
    from devices import counting, segments

    seconds = []
    for _ in range(rounds):
        counting.forget_totals()
        begun = time.monotonic()
        found = counting.count(application, predicate)
        seconds.append(time.monotonic() - begun)
    begun = time.monotonic()
    true = segments.subscribers(application, predicate).count()
    took = time.monotonic() - begun
    middle = sorted(seconds)[len(seconds) // 2]
    tell(f"{name}: {found.people:,} ± {found.margin:,} in {middle:.2f} s; {true:,} in {took:.2f} s")
    return Counted(
        name,
        round(middle, 3),
        round(max(seconds), 3),
        found.people,
        found.margin,
        found.exact,
        true,
        round(took, 3),
    )


def _imported(application: Any, rows: int) -> tuple[float, float]:
    from devices import importing
    from devices.models import Import

    text = "external_id,locale,time_zone,plan,points,tags\n" + "".join(
        f"new-{number:07},de,Europe/Berlin,pro,{number % 1000},vip|new\n" for number in range(rows)
    )
    source = Import.objects.create(application=application, file_name="people.csv")
    begun = time.monotonic()
    importing.take(source, io.BytesIO(text.encode()))
    read = time.monotonic() - begun
    while importing.work_one():
        pass
    source.refresh_from_db()
    assert (source.state, source.made) == ("done", rows), (source.state, source.made, source.error)
    return round(read, 2), round(time.monotonic() - begun, 2)


def _facts(application: Any, pages: int = 50, size: int = 1_000) -> float:
    from django.db import transaction

    from devices import facts
    from devices.models import Subscriber

    keys = list(
        Subscriber.objects.filter(application=application)
        .order_by("pk")
        .values_list("pk", flat=True)[: pages * size]
    )
    kind = facts.wanted(application.pk)["opened"]
    begun = time.monotonic()
    for start in range(0, len(keys), size):
        with transaction.atomic():
            facts.add(Counter((key, kind) for key in keys[start : start + size]))
    return round((time.monotonic() - begun) / pages * 1000, 1)


def main(path: str) -> None:
    """Run the course that a file describes and write its report."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")
    import django

    import notifyhub  # noqa: F401  (prepares imports that apns2 and daphne need)

    django.setup()
    course = msgspec.json.decode(Path(path).read_bytes(), type=Course)
    application = _fill(course)
    counts = [_counted(application, name, asked, course.rounds) for name, asked in PREDICATES.items()]
    facts_ms = _facts(application)
    read, whole = _imported(application, course.rows)
    tell(f"imported {course.rows:,} rows in {whole:.1f} s, {read:.1f} of them to read the file")
    report = Report(course.subscribers, counts, course.rows, read, whole, facts_ms)
    Path(course.out).write_bytes(msgspec.json.encode(report))


if __name__ == "__main__":
    main(sys.argv[1])
