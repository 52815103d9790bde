"""How many people a predicate chooses, and how many devices of theirs can be reached, within a deadline at any size.

Up to `SMALL` subscribers are all asked. Of more, a sample: the application's span of primary keys is cut into strata
and a block of neighbours is asked in each; the margin is that of a ratio estimate over the blocks (Cochran, "Sampling
Techniques", 3rd ed., section 6.3), so that people who are alike because they came together widen it as they should. A
choice that is rare in the sample is counted whole after all, if the deadline allows.

The sample is taken in rounds, each over the whole span: what the deadline lets come together is the answer, with the
margin of so many.
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
ROUNDS = 5
SECONDS = 1.6
"""How long a count may take, all its statements together; with the rest of the request two seconds."""
FIRST_TRY = 0.4
"""The share of that after which a small audience is sampled instead."""
FEWEST = 2_000
"""Of fewer people than that no sample is taken."""

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
    """Nothing was counted before the deadline."""


class _Deadline:
    """The instant at which a count ends, whatever it is doing."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self.until - time.monotonic()

    def share(self, part: float) -> "_Deadline":
        """Return the end of a part of what is left."""
        return _Deadline(self.left * part)

    def fetch(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """Return a statement's rows, within `limited`; it is ended when the time is over."""
        left = self.left
        if left <= 0:
            raise TooSlowError
        if connection.vendor == "postgresql":
            fetch("SELECT set_config('statement_timeout', %s, true)", [str(max(1, int(left * 1000)))])
        return fetch(sql, values)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """End the statements in it that pass the deadline; raises `TooSlowError`."""
        try:
            if connection.vendor == "postgresql":
                with transaction.atomic():
                    # to compile a statement costs more than it saves when few people are asked
                    fetch("SELECT set_config('jit', 'off', true)")
                    yield
            else:
                connection.ensure_connection()
                raw: sqlite3.Connection = connection.connection
                raw.set_progress_handler(lambda: int(self.left <= 0), 10_000)
                try:
                    yield
                finally:
                    raw.set_progress_handler(None, 0)
        except OperationalError as error:
            text = str(error)
            if "statement timeout" in text or "interrupted" in text:
                raise TooSlowError from None
            raise


class _Span(msgspec.Struct, frozen=True):
    everybody: int
    first: int
    last: int


def count(
    application: Application, predicate: Any, *, seconds: float = SECONDS, reachable: bool = True
) -> Count:
    """Return how many a predicate (None: everybody) chooses now, as exactly as `seconds` allow.

    Without `reachable` no devices are counted, and a sample is one round: a third of the statements. Raises
    `PredicateError`, and `TooSlowError` where the time allows nothing.
    """
    deadline = _Deadline(seconds)
    full = nesting.whole(application.pk, predicate)
    asked = _Asked(application, full, reachable=reachable)
    with deadline.limited():
        span = _span(application, deadline)
    if span.everybody <= FEWEST:
        with deadline.limited():
            return _exactly(asked, span, deadline)
    if span.everybody <= SMALL and (found := _in_time(asked, span, deadline.share(FIRST_TRY))):
        return found
    sample = _sampled(asked, span, deadline)
    if span.everybody > SMALL and sample.people * SAMPLE < RARE * span.everybody:
        return _in_time(asked, span, deadline) or sample
    return sample


def _in_time(asked: "_Asked", span: _Span, deadline: _Deadline) -> Count | None:
    """Return the exact count, None when it takes longer."""
    try:
        with deadline.limited():
            return _exactly(asked, span, deadline)
    except TooSlowError:
        return None


class _Asked:
    """A predicate as SQL on subscribers and on devices; `rounds` of a sample, each with its devices if `reachable`."""

    def __init__(self, application: Application, predicate: Any, *, reachable: bool) -> None:
        segments.parse(predicate, whole=True)
        self.application = application
        self.reachable = reachable
        self.rounds = ROUNDS if reachable else 1
        self.people, self.people_values = condition_on(Subscriber, predicate)
        self.devices, self.device_values = condition_on(Device, predicate)


def _span(application: Application, deadline: _Deadline) -> _Span:
    held = _totals.get(str(application.uid))
    if held is None:
        ((everybody, first, last),) = deadline.fetch(
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


def _exactly(asked: _Asked, span: _Span, deadline: _Deadline) -> Count:
    ((people, willing),) = deadline.fetch(
        f"SELECT COUNT(*), COALESCE(SUM({WILLING}), 0) FROM devices_subscriber"
        f" WHERE devices_subscriber.application_id = %s{asked.people}",
        [asked.application.pk, *asked.people_values],
    )
    devices = (
        []
        if not asked.reachable
        else deadline.fetch(
            "SELECT devices_device.platform, COUNT(*) FROM devices_subscriber"
            " JOIN devices_device ON devices_device.subscriber_id = devices_subscriber.id"
            " WHERE devices_subscriber.application_id = %s AND devices_subscriber.consent"
            f" AND devices_device.state = 'active'{asked.people}{asked.devices} GROUP BY devices_device.platform",
            [asked.application.pk, *asked.people_values, *asked.device_values],
        )
    )
    by_platform = {str(name): int(number) for name, number in devices}
    return Count(int(people), span.everybody, int(willing), by_platform, True)


class _Sample:
    """What was seen so far: of each block the people and those chosen, the willing of these, their devices."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, int]] = []
        self.willing = 0
        self.devices: Counter[str] = Counter()

    def count(self, span: _Span) -> Count:
        seen = sum(one for one, _ in self.blocks)
        if not seen:
            return Count(0, span.everybody, 0, {}, False, span.everybody)
        scale = span.everybody / seen
        hits = sum(one for _, one in self.blocks)
        return Count(
            round(hits * scale),
            span.everybody,
            round(self.willing * scale),
            {name: round(number * scale) for name, number in self.devices.items()},
            False,
            math.ceil(_margin(self.blocks, seen, hits) * span.everybody),
        )


def _sampled(asked: _Asked, span: _Span, deadline: _Deadline) -> Count:
    """Return what the rounds come to that end in time; raises `TooSlowError` when none does."""
    width = (span.last - span.first + 1) / BLOCKS
    size = max(1, min(int(width), math.ceil(SAMPLE / BLOCKS * (span.last - span.first + 1) / span.everybody)))
    starts = [
        span.first + int(number * width) + random.randrange(max(1, int(width) - size + 1))
        for number in range(BLOCKS)
    ]
    sample, longest = _Sample(), 0.0
    for number in range(asked.rounds):
        before = deadline.left
        if number and before < longest:
            break  # it would not end in time
        try:
            with deadline.limited():
                _round(asked, starts[number :: asked.rounds], size, sample, deadline)
        except TooSlowError:
            if not number:
                raise
            break
        longest = max(longest, before - deadline.left)
    return sample.count(span)


def _round(asked: _Asked, starts: list[int], size: int, sample: _Sample, deadline: _Deadline) -> None:
    """Add what the blocks of one round hold to a sample, all of it or nothing."""
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
        prices = ", ".join(["set_config(%s, %s, true)"] * len(PRICES))
        fetch(f"SELECT {prices}", [text for price in PRICES.items() for text in price])
    else:
        source = f"FROM {blocks} JOIN devices_subscriber ON {within}"
    chosen = f"CASE WHEN 1 = 1{asked.people} THEN 1 ELSE 0 END"
    rows = deadline.fetch(
        f"SELECT key, COUNT(*), SUM(chosen), SUM(chosen * willing)"
        f" FROM (SELECT block.key AS key, {chosen} AS chosen, {WILLING} AS willing {source}) AS sampled GROUP BY key",
        [*asked.people_values, *keys, asked.application.pk],
    )
    devices = (
        []
        if not asked.reachable
        else deadline.fetch(
            f"SELECT devices_device.platform, COUNT(*) {source}"
            " JOIN devices_device ON devices_device.subscriber_id = devices_subscriber.id"
            f" WHERE devices_subscriber.consent AND devices_device.state = 'active'{asked.people}{asked.devices}"
            " GROUP BY devices_device.platform",
            [*keys, asked.application.pk, *asked.people_values, *asked.device_values],
        )
    )
    sample.blocks += [(int(asked_of), int(hits)) for _, asked_of, hits, _ in rows]
    sample.willing += sum(int(row[3]) for row in rows)
    sample.devices.update({str(name): int(number) for name, number in devices})


def _margin(counts: Sequence[tuple[int, int]], seen: int, hits: int) -> float:
    """Return half the 95 % interval of the share, from blocks of (people, people chosen)."""
    if hits in (0, seen):
        return 3 / seen  # the rule of three: none in n leaves up to 3/n
    share, blocks = hits / seen, len(counts)
    spread = sum((chosen - share * people) ** 2 for people, chosen in counts)
    return 1.96 * math.sqrt(spread * blocks / max(1, blocks - 1)) / seen


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
