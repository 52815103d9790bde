"""Counting: from what was heard to the tallies of runs, each person and device once for what they did.

A receipt counts for its device when it is the first of its kind that the log holds for the message, and for its person
when it is the first of all devices. One transaction takes the rows that were counted away and adds to the tallies, so
that no crash counts twice. `recount` makes a run's tallies anew from the log.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from uuid import UUID

import msgspec
import structlog
from django.db import transaction

from delivery import experiments, goals, heard, positions
from delivery.log.store import NewReceipt, ReceiptRow, log_store
from delivery.models import Heard, Recount, Run, Stopped, Tally
from delivery.snapshot import Experiment, best_locale
from devices import best_hours
from devices.models import Device, Subscriber
from devices.statements import change

log = structlog.get_logger(__name__)

PATIENCE = 2.0
"""Seconds that a row waits: receipts of a person's devices that come at the same time are seen together."""
ROWS, RECEIPTS = 200, 5_000
"""Rows of a step at most, and receipts about."""
PAIRS = 500
"""Messages that the log is asked about at a time."""
FEW, RECENT = 10, 32
"""Messages that it is asked about first, to learn of which runs the others may be; and how many runs are remembered."""
LEASE = 3_600.0
"""Seconds after which a recount that did not end holds nothing back any more."""

Mark = tuple[int, str, str, str, str]
"""Run, kind, variant, dimension, value."""
Pair = tuple[UUID, UUID]
"""Subscriber and notification."""


class Facts(msgspec.Struct, frozen=True):
    """What counting needs to know of a run."""

    key: int
    locale: str
    fallback: str
    locales: frozenset[str]
    arm: Callable[[bytes], str] | None
    as_of: float = 0.0
    held: bool = False


class _Counts:
    """People and devices by mark."""

    def __init__(self) -> None:
        self.by: dict[Mark, list[int]] = defaultdict(lambda: [0, 0])
        self.opens: list[tuple[UUID, float]] = []
        """whose opens were counted for the first time, and when"""

    def add(self, facts: Facts, row: ReceiptRow, *, platform: str, locale: str, person: bool) -> None:
        """Count a device that did something, and its person if it is the first of their devices."""
        variant = facts.arm(row.subscriber.bytes) if facts.arm else ""
        spoken = best_locale(locale or facts.locale, facts.locales, facts.fallback)
        device = row.device != heard.NOBODY
        if person and row.kind == "opened":
            self.opens.append((row.subscriber, row.at))
        for dimension, value in (
            (Tally.Dimension.PLATFORM.value, platform),
            (Tally.Dimension.LOCALE.value, spoken),
            (Tally.Dimension.HOUR.value, str(int(row.at // 3600))),
        ):
            counts = self.by[(facts.key, row.kind, variant, dimension, value[:35])]
            counts[0] += person
            counts[1] += device


def waiting(now: float) -> bool:
    """Return whether something is to be counted."""
    return Heard.objects.filter(created_at__lt=now - PATIENCE).exists()


def step(now: float | None = None) -> bool:
    """Count some of what was heard; return whether there was anything."""
    instant = time.time() if now is None else now
    rows = _take(instant)
    if not rows:
        return False
    receipts, events = [], []
    for row in rows:
        try:
            receipts += heard.receipts_of(row)
            events += heard.events_of(row)
        except msgspec.DecodeError as error:
            log.error("counting.unreadable", row=row.pk, error=str(error))
    converted = goals.conversions(events)
    if converted:
        log_store().write_receipts([_new(row) for row, _ in converted])
    counts, held = _count(receipts, converted)
    with transaction.atomic():
        deleted, _ = Heard.objects.filter(pk__in=[row.pk for row in rows]).delete()
        if deleted != len(rows):
            # the losing branch: another worker has counted some of them
            transaction.set_rollback(True)
            return True
        heard.note_receipts(held)
        best_hours.learn(counts.opens)
        _write(counts)
    return True


def _take(now: float) -> list[Heard]:
    taken: list[Heard] = []
    room = RECEIPTS * 57
    for row in Heard.objects.filter(created_at__lt=now - PATIENCE).order_by("pk")[:ROWS]:
        taken.append(row)
        room -= len(row.body)
        if room < 0:
            break
    return taken


def _count(
    receipts: Iterable[NewReceipt], converted: Sequence[tuple[ReceiptRow, UUID]]
) -> tuple[_Counts, list[NewReceipt]]:
    """Return the counts of what is counted for the first time, and the receipts of runs that are being recounted."""
    mine: dict[tuple[UUID, UUID, UUID, str], ReceiptRow] = {}
    for one in receipts:
        row = ReceiptRow(
            UUID(bytes=one.subscriber), UUID(bytes=one.notification), UUID(bytes=one.device), one.kind, one.at
        )
        _earliest(mine, row)
    runs: dict[Pair, UUID] = {}
    for row, run in converted:
        _earliest(mine, row)
        runs[(row.subscriber, row.notification)] = run
    pairs = list(dict.fromkeys((row.subscriber, row.notification) for row in mine.values()))
    runs.update(_runs_of([pair for pair in pairs if pair not in runs]))
    facts = _facts(set(runs.values()))
    counts, held = _Counts(), []
    for some in _parts(pairs):
        first = _Firsts(log_store().receipts_of(some))
        wanted = set(some)
        chosen = [row for row in mine.values() if (row.subscriber, row.notification) in wanted]
        platforms, locales = _places(chosen)
        for row in chosen:
            of = facts.get(runs.get((row.subscriber, row.notification), heard.NOBODY))
            if of is None or row.at < of.as_of:
                continue
            if of.held:
                held.append(_new(row))
            elif first.device(row):
                counts.add(
                    of,
                    row,
                    platform=platforms.get(row.device, ""),
                    locale=locales.get(row.subscriber, ""),
                    person=first.person(row),
                )
    return counts, held


_recent: list[bytes] = []
"""The runs (UUIDs as bytes) that messages were of lately, the likeliest first."""


def _runs_of(pairs: Sequence[Pair]) -> dict[Pair, UUID]:
    """Return which run each message is of.

    An identity is made of run and person, so whether it is of a run that was met before takes a hash; the log, which
    reads one person after another, is asked about the others: about a few, then about what their runs do not explain.
    """
    found: dict[Pair, UUID] = {}
    unknown, size = list(pairs), FEW
    while unknown:
        likely = list(_recent)
        rest = []
        for pair in unknown:
            subscriber, notification = pair[0].bytes, pair[1].bytes
            for run in likely:
                if positions.identity(run, subscriber) == notification:
                    found[pair] = UUID(bytes=run)
                    break
            else:
                rest.append(pair)
        if rest:
            found.update(log_store().runs_of(rest[:size]))
        unknown, size = rest[size:], PAIRS
        met = [run.bytes for run, _ in Counter(found.values()).most_common()]
        _recent[:] = [*met, *(run for run in likely if run not in met)][:RECENT]
    return found


def _new(row: ReceiptRow) -> NewReceipt:
    return NewReceipt(row.subscriber.bytes, row.notification.bytes, row.device.bytes, row.kind, row.at)


def _earliest(rows: dict[tuple[UUID, UUID, UUID, str], ReceiptRow], row: ReceiptRow) -> None:
    key = (row.subscriber, row.notification, row.device, row.kind)
    if key not in rows or row.at < rows[key].at:
        rows[key] = row


class _Firsts:
    """The first receipt of each kind, by device and by person."""

    def __init__(self, rows: Iterable[ReceiptRow]) -> None:
        self.devices: dict[tuple[UUID, UUID, str], float] = {}
        self.people: dict[tuple[UUID, str], tuple[float, bytes]] = {}
        for row in rows:
            key, whose = (row.notification, row.device, row.kind), (row.notification, row.kind)
            self.devices[key] = min(row.at, self.devices.get(key, row.at))
            mine = (row.at, row.device.bytes)
            self.people[whose] = min(mine, self.people.get(whose, mine))

    def device(self, row: ReceiptRow) -> bool:
        return self.devices.get((row.notification, row.device, row.kind)) == row.at

    def person(self, row: ReceiptRow) -> bool:
        return self.people.get((row.notification, row.kind)) == (row.at, row.device.bytes)


def _facts(runs: Iterable[UUID]) -> dict[UUID, Facts]:
    now = time.time()
    found = {}
    rows = Run.objects.filter(uid__in=list(runs)).values_list(
        "uid", "pk", "application__locale", "recount__as_of", "recount__lease_until"
    )
    for uid, key, locale, as_of, lease in rows:
        fallback, locales, arm = _frozen(uid)
        found[uid] = Facts(key, locale, fallback, locales, arm, as_of or 0.0, bool(lease and lease > now))
    return found


@lru_cache(maxsize=1_000)
def _frozen(run: UUID) -> tuple[str, frozenset[str], Callable[[bytes], str] | None]:
    """Return what a run's snapshot says of languages and variants; it never changes."""
    ((snapshot,),) = Run.objects.filter(uid=run).values_list("snapshot")
    given = snapshot.get("experiment")
    experiment = msgspec.convert(given, Experiment) if given else None
    texts = set(snapshot["texts"])
    for variant in experiment.variants if experiment else ():
        texts.update(variant.texts)
    arm = experiments.arms(experiment) if experiment else None
    return snapshot.get("locale", "en").lower(), frozenset(name.lower() for name in texts), arm


def _places(rows: Sequence[ReceiptRow]) -> tuple[dict[UUID, str], dict[UUID, str]]:
    """Return the platforms of devices and the languages of people."""
    devices = {row.device for row in rows} - {heard.NOBODY}
    people = {row.subscriber for row in rows}
    platforms = Device.objects.filter(uid__in=devices).values_list("uid", "platform")
    locales = Subscriber.objects.filter(uid__in=people).values_list("uid", "locale")
    return dict(platforms), dict(locales)


def _parts(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    rest = iter(pairs)
    while some := list(islice(rest, PAIRS)):
        yield some


def _write(counts: _Counts) -> None:
    """Add to the tallies, in an order that lets two workers not wait for each other."""
    marks = sorted(counts.by)
    columns = "(run_id, kind, variant, dimension, value, people, devices)"
    for start in range(0, len(marks), 100):
        part = marks[start : start + 100]
        change(
            f"INSERT INTO delivery_tally {columns} VALUES {', '.join(['(%s, %s, %s, %s, %s, %s, %s)'] * len(part))}"
            " ON CONFLICT (run_id, kind, variant, dimension, value) DO UPDATE SET"
            " people = delivery_tally.people + excluded.people, devices = delivery_tally.devices + excluded.devices",
            [value for mark in part for value in (*mark, *counts.by[mark])],
        )


# -- anew


def recount(run: Run, *, wait: float = PATIENCE) -> int:
    """Make a run's tallies anew from the log; return how many receipts there were.

    What is heard meanwhile is kept and counted afterwards; `wait` lets what is being written come to the log.
    """
    as_of = time.time()
    Recount.objects.update_or_create(run=run, defaults={"as_of": as_of, "lease_until": as_of + LEASE})
    time.sleep(wait)
    facts = _facts([run.uid])[run.uid]
    counts, seen = _Counts(), 0
    everybody = _told(run)
    for some in _parts(everybody):
        rows = [row for row in log_store().receipts_of(some) if row.at < as_of]
        first = _Firsts(rows)
        platforms, locales = _places(rows)
        for row in rows:
            if first.device(row):
                seen += 1
                counts.add(
                    facts,
                    row,
                    platform=platforms.get(row.device, ""),
                    locale=locales.get(row.subscriber, ""),
                    person=first.person(row),
                )
    with transaction.atomic():
        Tally.objects.filter(run=run).delete()
        _write(counts)
        Recount.objects.filter(run=run).update(lease_until=0)
    return seen


def _told(run: Run) -> Iterator[Pair]:
    """Yield everybody whom the run told something, and its control group with what they were not told."""
    yield from log_store().identities(run.uid)
    rows = Stopped.objects.filter(run=run, reason="control_group").values_list("subscriber_id", "occurrence")
    control = iter(rows.iterator(chunk_size=2_000))
    while some := list(islice(control, PAIRS)):
        uids = dict(Subscriber.objects.filter(pk__in=[key for key, _ in some]).values_list("pk", "uid"))
        for key, occurrence in some:
            if key in uids:
                yield uids[key], positions.notification_id(run.uid, uids[key], occurrence)
