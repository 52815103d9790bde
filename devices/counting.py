"""How many people a predicate chooses, and how many devices of theirs can be reached, in about a second at any size.

Up to `SMALL` subscribers are all asked. Of more, a sample: the application's span of primary keys is cut into strata
and a block of neighbours is asked in each; the margin is that of a ratio estimate over the blocks (Cochran, "Sampling
Techniques", 3rd ed., section 6.3), so that people who are alike because they came together widen it as they should. A
choice that is rare in the sample is counted whole after all, if that takes no longer than the limit.
"""

import math
import random
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from django.db import OperationalError, connection, transaction

from devices import nesting, segments
from devices.models import Application, Device, Subscriber
from devices.people import condition_on
from devices.short_memory import ShortMemory
from devices.statements import fetch, listed

SMALL = 50_000
BLOCKS = 200
SAMPLE = 20_000
RARE = 400
"""Of a sample with fewer people of the choice than that the margin is wider than a tenth."""
SECONDS = 1.2
"""How long one statement may take."""

_totals: ShortMemory[tuple[int, int, int]] = ShortMemory(seconds=30)


def forget_totals() -> None:
    """Count everybody anew when that is next asked for."""
    _totals.clear()


class Count(msgspec.Struct, frozen=True):
    """`people` of `everybody`; `willing` of them want notifications, and have `devices` by platform, active ones.

    When it is not `exact`, 19 times of 20 the true number of people is within `margin` of `people`.
    """

    people: int
    everybody: int
    willing: int
    devices: dict[str, int]
    exact: bool
    margin: int = 0


class TooSlowError(Exception):
    """A statement passed the limit of time."""


class _Span(msgspec.Struct, frozen=True):
    everybody: int
    first: int
    last: int


def count(application: Application, predicate: Any, *, seconds: float = SECONDS) -> Count:
    """Return how many a predicate (None: everybody) chooses now; raises `PredicateError`, and `TooSlowError`."""
    full = nesting.whole(application.pk, predicate)
    asked = _Asked(application, full)
    span = _span(application)
    if span.everybody <= SMALL:
        with _limited(seconds):
            return _exactly(asked, span)
    with _limited(seconds):
        sample = _sampled(asked, span)
    if sample.people * SAMPLE < RARE * span.everybody:
        try:
            with _limited(seconds):
                return _exactly(asked, span)
        except TooSlowError:
            pass
    return sample


class _Asked:
    """A predicate as SQL on subscribers and on devices."""

    def __init__(self, application: Application, predicate: Any) -> None:
        segments.parse(predicate, whole=True)
        self.application = application
        self.people, self.people_values = condition_on(Subscriber, predicate)
        self.devices, self.device_values = condition_on(Device, predicate)


def _span(application: Application) -> _Span:
    held = _totals.get(str(application.uid))
    if held is None:
        ((everybody, first, last),) = fetch(
            "SELECT COUNT(*), MIN(id), MAX(id) FROM devices_subscriber WHERE application_id = %s",
            [application.pk],
        )
        held = (int(everybody), int(first or 0), int(last or 0))
        if everybody > SMALL:
            _totals.put(str(application.uid), held)
    return _Span(*held)


PRICES = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "seq_page_cost": "100",
    "random_page_cost": "0.1",
}
"""What PostgreSQL's planner is told for a sample."""
WILLING = "CASE WHEN devices_subscriber.consent THEN 1 ELSE 0 END"


def _exactly(asked: _Asked, span: _Span) -> Count:
    ((people, willing),) = fetch(
        f"SELECT COUNT(*), COALESCE(SUM({WILLING}), 0) FROM devices_subscriber"
        f" WHERE devices_subscriber.application_id = %s{asked.people}",
        [asked.application.pk, *asked.people_values],
    )
    devices = fetch(
        "SELECT devices_device.platform, COUNT(*) FROM devices_subscriber"
        " JOIN devices_device ON devices_device.subscriber_id = devices_subscriber.id"
        " WHERE devices_subscriber.application_id = %s AND devices_subscriber.consent"
        f" AND devices_device.state = 'active'{asked.people}{asked.devices} GROUP BY devices_device.platform",
        [asked.application.pk, *asked.people_values, *asked.device_values],
    )
    by_platform = {str(name): int(number) for name, number in devices}
    return Count(int(people), span.everybody, int(willing), by_platform, True)


def _sampled(asked: _Asked, span: _Span) -> Count:
    width = (span.last - span.first + 1) / BLOCKS
    size = min(int(width), math.ceil(SAMPLE / BLOCKS * (span.last - span.first + 1) / span.everybody))
    starts = [
        span.first + int(number * width) + random.randrange(max(1, int(width) - size + 1))
        for number in range(BLOCKS)
    ]
    blocks, keys = listed("block", starts)
    within = (
        f"devices_subscriber.id >= block.key AND devices_subscriber.id < block.key + {size}"
        " AND devices_subscriber.application_id = %s"
    )
    if connection.vendor == "postgresql":
        # few people of many: without the limit and these prices the planner reads whole tables, or hashes them
        source = (
            f"FROM {blocks} CROSS JOIN LATERAL (SELECT * FROM devices_subscriber WHERE {within}"
            f" ORDER BY id LIMIT {size}) AS devices_subscriber"
        )
        for name, value in PRICES.items():
            fetch("SELECT set_config(%s, %s, true)", [name, value])
    else:
        source = f"FROM {blocks} JOIN devices_subscriber ON {within}"
    chosen = f"CASE WHEN 1 = 1{asked.people} THEN 1 ELSE 0 END"
    rows = fetch(
        f"SELECT key, COUNT(*), SUM(chosen), SUM(chosen * willing)"
        f" FROM (SELECT block.key AS key, {chosen} AS chosen, {WILLING} AS willing {source}) AS sampled GROUP BY key",
        [*asked.people_values, *keys, asked.application.pk],
    )
    devices = fetch(
        f"SELECT devices_device.platform, COUNT(*) {source}"
        " JOIN devices_device ON devices_device.subscriber_id = devices_subscriber.id"
        f" WHERE devices_subscriber.consent AND devices_device.state = 'active'{asked.people}{asked.devices}"
        " GROUP BY devices_device.platform",
        [*keys, asked.application.pk, *asked.people_values, *asked.device_values],
    )
    counts = [(int(asked_of), int(hits)) for _, asked_of, hits, _ in rows]
    seen = sum(one for one, _ in counts)
    if not seen:
        return Count(0, span.everybody, 0, {}, False, span.everybody)
    scale = span.everybody / seen
    hits = sum(one for _, one in counts)
    return Count(
        round(hits * scale),
        span.everybody,
        round(sum(int(row[3]) for row in rows) * scale),
        {str(name): round(int(number) * scale) for name, number in devices},
        False,
        math.ceil(_margin(counts, seen, hits) * span.everybody),
    )


def _margin(counts: Sequence[tuple[int, int]], seen: int, hits: int) -> float:
    """Return half the 95 % interval of the share, from blocks of (people, people chosen)."""
    if hits in (0, seen):
        return 3 / seen  # the rule of three: none in n leaves up to 3/n
    share, blocks = hits / seen, len(counts)
    spread = sum((chosen - share * people) ** 2 for people, chosen in counts)
    return 1.96 * math.sqrt(spread * blocks / max(1, blocks - 1)) / seen


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """End a statement that takes longer; raises `TooSlowError`."""
    try:
        if connection.vendor == "postgresql":
            with transaction.atomic():
                fetch("SELECT set_config('statement_timeout', %s, true)", [str(int(seconds * 1000))])
                # to compile a statement costs more than it saves when few people are asked
                fetch("SELECT set_config('jit', 'off', true)")
                yield
        else:
            connection.ensure_connection()
            raw: sqlite3.Connection = connection.connection
            until = time.monotonic() + seconds
            raw.set_progress_handler(lambda: int(time.monotonic() > until), 10_000)
            try:
                yield
            finally:
                raw.set_progress_handler(None, 0)
    except OperationalError as error:
        text = str(error)
        if "statement timeout" in text or "interrupted" in text:
            raise TooSlowError from None
        raise


def suggested(application: Application, *, people: int = 2_000) -> dict[str, Any]:
    """Return the attributes, their kinds and most frequent values, and the tags, of the newest subscribers."""
    rows = (
        Subscriber.objects.filter(application=application)
        .order_by("-pk")
        .values_list("attributes", flat=True)
    )
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    values: dict[str, Counter[Any]] = defaultdict(Counter)
    tags: Counter[str] = Counter()
    for attributes in rows[:people]:
        for name, value in attributes.items() if isinstance(attributes, dict) else ():
            kinds[name][_kind(value)] += 1
            if isinstance(value, str | bool | int | float) and len(str(value)) <= 100:
                values[name][value] += 1
            if name == segments.TAGS and isinstance(value, list):
                tags.update(one for one in value if isinstance(one, str) and len(one) <= 100)
    return {
        "attributes": [
            {
                "name": name,
                "kind": seen.most_common(1)[0][0],
                "values": [value for value, _ in values[name].most_common(20)],
            }
            for name, seen in sorted(kinds.items())
        ],
        "tags": [name for name, _ in tags.most_common(100)],
    }


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list) else "text"
