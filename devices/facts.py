"""Facts: how often a subscriber received or opened something or did an event, by day (UTC), for segments to ask.

A kind of fact is counted from when a segment that asks for it is saved; all others cost one look into this process's
memory. The rooms above write them a page or a batch at a time, in the transaction of what they count.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import BigIntegerField, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual
from django.utils import timezone
from django.utils.translation import gettext as _

from devices.predicates import MAX_DAYS
from devices.short_memory import ShortMemory
from devices.statements import change

if TYPE_CHECKING:
    pass

RECEIVED = "received"
"""An entry in their log: one for all devices of theirs."""
OPENED = "opened"
"""A notification that one of their devices opened for the first time."""

ROWS_A_STATEMENT = 500
FORGOTTEN_AT_ONCE = 5_000
_kinds: ShortMemory[dict[str, int]] = ShortMemory(seconds=5)


def event(name: str) -> str:
    """Return the kind of fact of an event type."""
    return f"event:{name}"


def said_of(kind: str) -> str:
    """Return what people call a kind of fact: an event by its type."""
    return {RECEIVED: _("Received"), OPENED: _("Opened")}.get(kind, kind.removeprefix("event:"))


def wanted(application_id: int) -> dict[str, int]:
    """Return the kinds that some segment of an application asks for, with their primary keys; up to 5 s old."""
    known = _kinds.get(str(application_id))
    if known is None:
        from devices.models import FactKind

        rows = FactKind.objects.filter(application=application_id, wanted=True)
        known = dict(rows.values_list("name", "pk"))
        _kinds.put(str(application_id), known)
    return known


def forget_kinds() -> None:
    """Read the kinds anew when they are next asked for."""
    _kinds.clear()


def want(application_id: int, kinds: Iterable[str]) -> None:
    """Say which kinds the segments of an application ask for now: these are counted from now on, and no others."""
    from devices.models import FactKind

    names = set(kinds)
    known = dict(FactKind.objects.filter(application=application_id).values_list("name", "wanted"))
    if new := sorted(names - known.keys()):
        FactKind.objects.bulk_create(
            [FactKind(application_id=application_id, name=name) for name in new], ignore_conflicts=True
        )
    if again := [name for name in names if known.get(name) is False]:
        FactKind.objects.filter(application=application_id, name__in=again).update(
            wanted=True, since=timezone.now()
        )
    if gone := [name for name, is_wanted in known.items() if is_wanted and name not in names]:
        FactKind.objects.filter(application=application_id, name__in=gone).update(wanted=False)
    if new or again or gone:
        forget_kinds()


def count(application_id: int, kind: str, subscribers: Iterable[int]) -> None:
    """Count a kind once for each of some subscribers (primary keys, with repeats), today; nothing if nobody asks."""
    if (key := wanted(application_id).get(kind)) is not None:
        add(Counter((subscriber, key) for subscriber in subscribers))


def add(counts: Counter[tuple[int, int]], *, day: date | None = None) -> None:
    """Add to the counts of (subscriber, kind), primary keys, on a day (today): one statement for 500.

    Takes part in the transaction that is open. Always in one order, so that two writers never wait for each other.
    """
    on = (day or timezone.now().date()).isoformat()
    rows = sorted(counts.items())
    marks = "(%s, %s, CAST(%s AS date), %s)" if connection.vendor == "postgresql" else "(%s, %s, %s, %s)"
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        part = rows[start : start + ROWS_A_STATEMENT]
        change(
            "INSERT INTO devices_fact (subscriber_id, kind_id, day, count) VALUES "
            + ", ".join([marks] * len(part))
            + " ON CONFLICT (subscriber_id, kind_id, day) DO UPDATE SET count = devices_fact.count + excluded.count",
            [value for (subscriber, kind), times in part for value in (subscriber, kind, on, times)],
        )


def condition(kind: str, *, least: int, most: int | None, days: int) -> Q:
    """Return the subscribers who have a kind so many times in the last `days`, today (UTC) among them."""
    from devices.models import Fact

    since = timezone.now().date() - timedelta(days=days - 1)
    own = Fact.objects.filter(
        subscriber=OuterRef("pk"),
        kind__name=kind,
        kind__application=OuterRef("application_id"),
        day__gte=since,
    )
    times = Coalesce(
        Subquery(own.order_by().values("subscriber").annotate(sum=Sum("count")).values("sum")),
        Value(0),
        output_field=BigIntegerField(),
    )
    found = Q(GreaterThanOrEqual(times, least)) if least else Q()
    return found & Q(LessThanOrEqual(times, most)) if most is not None else found


def forget() -> int:
    """Delete some facts that no segment can ask for any more; return how many."""
    from devices.models import Fact

    past = timezone.now().date() - timedelta(days=MAX_DAYS)
    old: list[Fact] = list(Fact.objects.filter(day__lt=past).order_by("day")[:FORGOTTEN_AT_ONCE])
    return Fact.objects.filter(pk__in=[fact.pk for fact in old]).delete()[0] if old else 0
