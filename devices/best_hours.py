"""Learning at which hour of their day people open what they are told: a few bytes each, and one number to plan by.

Opens are counted by the hour of the person's own clock. Counts are halved when one gets large, so that new habits win.
A person has a best hour from `LEAST` opens on; hours beside each other help each other.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from devices.models import ApplicationHours, Device, OpenHours, Subscriber
from devices.short_memory import ShortMemory
from devices.wall_time import zone_or

HOURS = 24
LEAST = 3
"""Opens from which on somebody has a best hour."""
MOST = 200
"""A count at which all of a person's are halved."""
LEAST_OF_ALL = 100
"""Opens from which on an application has one."""
MOST_OF_ALL = 1_000_000
UNKNOWN = -1

_applications: ShortMemory[int] = ShortMemory(seconds=60.0)


def best(counts: Sequence[int], *, least: int) -> int:
    """Return the hour with most opens in it and around it, `UNKNOWN` while there are too few."""
    if len(counts) != HOURS or sum(counts) < least:
        return UNKNOWN
    around = [2 * counts[hour] + counts[hour - 1] + counts[(hour + 1) % HOURS] for hour in range(HOURS)]
    return around.index(max(around))


def added(counts: Sequence[int], more: Counter[int], *, most: int) -> list[int]:
    """Return counts with some more opens by hour; all are halved while one is above `most`."""
    found = [(counts[hour] if len(counts) == HOURS else 0) + more[hour] for hour in range(HOURS)]
    while max(found) > most:
        found = [one // 2 for one in found]
    return found


def learn(opens: Iterable[tuple[UUID, float]]) -> None:
    """Count opens: of whom (uid) and when (epoch seconds). Takes part in the open transaction; a few statements."""
    by_person: dict[UUID, list[float]] = {}
    for uid, at in opens:
        by_person.setdefault(uid, []).append(at)
    if not by_person:
        return
    rows = Subscriber.objects.filter(uid__in=by_person).order_by("pk")
    people = list(
        rows.values_list("pk", "uid", "application_id", "time_zone", "best_hour", "application__time_zone")
    )
    keys = [row[0] for row in people]
    zones = dict(
        Device.objects.filter(subscriber__in=keys, state=Device.State.ACTIVE)
        .exclude(time_zone="")
        .order_by("pk")
        .values_list("subscriber_id", "time_zone")
    )
    OpenHours.objects.bulk_create(
        [OpenHours(subscriber_id=key, counts=bytes(HOURS)) for key in keys], ignore_conflicts=True
    )
    known = {row.pk: row for row in OpenHours.objects.select_for_update().filter(pk__in=keys).order_by("pk")}
    everybody: dict[int, Counter[int]] = {}
    learned: list[Subscriber] = []
    for key, uid, application, own, before, home in people:
        place = zone_or(zones.get(key) or own or home, home)
        hours = Counter(datetime.fromtimestamp(at, UTC).astimezone(place).hour for at in by_person[uid])
        everybody.setdefault(application, Counter()).update(hours)
        counts = added(bytes(known[key].counts), hours, most=MOST)
        known[key].counts = bytes(counts)
        if (found := best(counts, least=LEAST)) != before:
            learned.append(Subscriber(pk=key, best_hour=found))
    OpenHours.objects.bulk_update(known.values(), ["counts"], batch_size=500)
    Subscriber.objects.bulk_update(learned, ["best_hour"], batch_size=500)
    _learn_of_all(everybody)


def _learn_of_all(everybody: dict[int, Counter[int]]) -> None:
    for application, hours in sorted(everybody.items()):
        ApplicationHours.objects.bulk_create(
            [ApplicationHours(application_id=application)], ignore_conflicts=True
        )
        row = ApplicationHours.objects.select_for_update().get(pk=application)
        row.counts = added(row.counts, hours, most=MOST_OF_ALL)
        row.save(update_fields=["counts"])


def of_application(application_id: int) -> int:
    """Return the hour at which most subscribers open, `UNKNOWN` while few have; up to a minute old."""
    found = _applications.get(str(application_id))
    if found is None:
        row = ApplicationHours.objects.filter(pk=application_id).first()
        found = best(row.counts, least=LEAST_OF_ALL) if row else UNKNOWN
        _applications.put(str(application_id), found)
    return found


def forget() -> None:
    """Look anew at the next call."""
    _applications.clear()
