"""Who is on a page: reads people and their devices in one or two queries, past the ORM's instances.

The cheapest way found to read a page (`bench`): hand-written SQL, JSON left as text until
somebody needs it, frozen structs that the garbage collector does not visit.
"""

import operator
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connection
from django.db.models import Model, Q

from devices import segments
from devices.models import Device, Subscriber
from devices.person import Person, Target
from devices.statements import among, fetch, raw_uuid, uuid_bytes

PLACES = 20
"""Among all ids, from which on people are taken who are to stand for all."""

Where = tuple[str, tuple[Any, ...]]
"""A condition as SQL and its parameters; an empty text for none."""


def page_after(
    application_id: int,
    *,
    cursor: int,
    last: int,
    limit: int,
    predicate: Any = None,
    category_id: int | None = None,
) -> list[Person]:
    """Return the next people of a shard, in order of id: those behind `cursor`, up to `last`, whom `predicate` chooses.

    Fewer than `limit` people mean that the shard has no more. Consent and preference are read, not judged.
    """
    sql, values = _behind(application_id, cursor, last, limit, predicate, category_id)
    return _with_devices(fetch(sql, values), predicate)


def pages_after(
    application_id: int,
    places: Sequence[tuple[int, int]],
    *,
    limit: int,
    predicate: Any = None,
    category_id: int | None = None,
) -> list[list[Person]]:
    """Return what `page_after` returns for each of several places (`cursor`, `last`), in two queries for all."""
    parts, values = [], []
    for number, (cursor, last) in enumerate(places):
        sql, more = _behind(application_id, cursor, last, limit, predicate, category_id)
        parts.append(f"SELECT {number} AS place, page.* FROM ({sql}) AS page")
        values += more
    found: list[list[Person]] = [[] for _ in places]
    if parts:
        rows = sorted(fetch(" UNION ALL ".join(parts), values), key=_by_second)
        for row, person in zip(rows, _with_devices([row[1:] for row in rows], predicate), strict=True):
            found[row[0]].append(person)
    return found


def ends(application_id: int) -> tuple[int, int]:
    """Return the first and last id of an application's people; zeros for nobody.

    Two looks at an index; with a count in the same statement PostgreSQL would visit every row.
    """
    ((first, last),) = fetch(
        "SELECT MIN(id), MAX(id) FROM devices_subscriber WHERE application_id = %s", [application_id]
    )
    return first or 0, last or 0


def spread(application_id: int, most: int) -> list[int]:
    """Return everybody's ids, or of more than `most` people about as many that lie evenly among all ids, in order."""
    of = "SELECT id FROM devices_subscriber WHERE application_id = %s"
    newest = fetch(f"{of} ORDER BY id DESC LIMIT %s", [application_id, most + 1])
    if len(newest) <= most:
        return sorted(row[0] for row in newest)
    first, last = ends(application_id)
    places = min(PLACES, most)
    width = (last - first) // places + 1
    parts, values = [], []
    for number in range(places):
        parts.append(f"SELECT id FROM ({of} AND id >= %s ORDER BY id LIMIT %s) AS part{number}")
        values += [application_id, first + number * width, most // places]
    return sorted({row[0] for row in fetch(" UNION ALL ".join(parts), values)})


FEW = 50
"""People whose devices are read together with them."""


def named(
    application_id: int, ids: Iterable[int], category_id: int | None = None, predicate: Any = None
) -> list[Person]:
    """Return the people of an application among `ids` (primary keys, at most a page of them), in order of id.

    With a predicate only those whom it chooses, with the devices it means. A few come in one statement, because an
    event mostly names one person; a whole page of people costs the database twice as much that way.
    """
    wanted = list(ids)
    if not wanted:
        return []
    condition, values = among("devices_subscriber.id", wanted)
    chosen, more = condition_on(Subscriber, predicate)
    sql, values = _people(
        f"devices_subscriber.application_id = %s AND {condition}{chosen}",
        [application_id, *values, *more],
        category_id,
        len(wanted),
    )
    if len(wanted) > FEW:
        return _with_devices(fetch(sql, values), predicate)
    meant, of_devices = condition_on(Device, predicate)
    rows = fetch(
        f"SELECT person.*, {_DEVICE} FROM ({sql}) AS person LEFT JOIN devices_device"
        f" ON devices_device.subscriber_id = person.id AND devices_device.state = 'active'{meant}"
        " ORDER BY person.id, devices_device.id",
        [*values, *of_devices],
    )
    people: dict[int, Person] = {}
    for row in rows:
        person = people.get(row[0])
        if person is None:
            person = people[row[0]] = _person(row[:_OF_PERSON], [])
        if row[_OF_PERSON] is not None:
            person.devices.append(_target(*row[_OF_PERSON:]))
    return list(people.values())


def _behind(
    application_id: int, cursor: int, last: int, limit: int, predicate: Any, category_id: int | None
) -> tuple[str, list[Any]]:
    condition, values = condition_on(Subscriber, predicate)
    return _people(
        "devices_subscriber.application_id = %s AND devices_subscriber.id > %s AND devices_subscriber.id <= %s"
        + condition,
        [application_id, cursor, last, *values],
        category_id,
        limit,
    )


def _people(where: str, values: list[Any], category_id: int | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement for people in order of id, and its values."""
    allowed, join, joined = "NULL", "", []
    if category_id is not None:
        allowed = "chosen.allowed"
        join = (
            " LEFT JOIN devices_preference AS chosen"
            " ON chosen.subscriber_id = devices_subscriber.id AND chosen.category_id = %s"
        )
        joined = [category_id]
    attributes = "devices_subscriber.attributes"
    if connection.vendor == "postgresql":
        attributes += "::text"
    return (
        f"SELECT devices_subscriber.id AS id, {uuid_bytes('devices_subscriber.uid')}, devices_subscriber.external_id,"
        f" devices_subscriber.locale, devices_subscriber.time_zone, {attributes},"
        f" devices_subscriber.consent, {allowed}, devices_subscriber.quiet_hours,"
        f" devices_subscriber.best_hour FROM devices_subscriber{join}"
        f" WHERE {where} ORDER BY devices_subscriber.id LIMIT %s",
        [*joined, *values, limit],
    )


def _with_devices(rows: Sequence[tuple[Any, ...]], predicate: Any) -> list[Person]:
    if not rows:
        return []
    devices: dict[int, list[Target]] = {row[0]: [] for row in rows}
    held, values = _held_by(list(devices))
    condition, more = condition_on(Device, predicate)
    for holder, *device in fetch(
        f"SELECT subscriber_id, {_DEVICE} FROM devices_device WHERE {held} AND state = 'active'{condition}",
        [*values, *more],
    ):
        mine = devices.get(holder)
        if mine is not None:
            mine.append(_target(*device))
    for several in devices.values():
        if len(several) > 1:
            several.sort(key=_by_id)
    return [_person(row, devices[row[0]]) for row in rows]


_OF_PERSON = 10
"""Columns of a person, as `_people` selects them; `_DEVICE` names those of a device."""
_DEVICE = "devices_device.id, " + ", ".join(
    [uuid_bytes("devices_device.uid")]
    + [
        f"devices_device.{column}"
        for column in ("platform", "provider", "token", "sandbox", "locale", "time_zone", "purpose")
    ]
)


def _person(row: Sequence[Any], devices: list[Target]) -> Person:
    key, uid, external_id, locale, zone, attributes, consent, allowed, quiet, best = row
    return Person(
        key,
        raw_uuid(uid),
        external_id,
        locale,
        zone,
        attributes,
        bool(consent),
        None if allowed is None else bool(allowed),
        devices,
        quiet,
        best,
    )


def _target(
    key: int,
    uid: bytes | str,
    platform: str,
    provider: str,
    token: str,
    sandbox: Any,
    locale: str,
    zone: str,
    purpose: str,
) -> Target:
    return Target(key, raw_uuid(uid), platform, provider, token, bool(sandbox), locale, zone, purpose)


_by_id = operator.attrgetter("id")
_by_second = operator.itemgetter(1)


def _held_by(subscribers: list[int]) -> Where:
    """Return the condition that a device belongs to one of some people, in order of id; or to somebody between them."""
    first, last = subscribers[0], subscribers[-1]
    if last - first < 2 * len(subscribers):
        return "devices_device.subscriber_id BETWEEN %s AND %s", (first, last)
    condition, values = among("devices_device.subscriber_id", subscribers)
    return condition, tuple(values)


def condition_on(model: type[Model], predicate: Any) -> Where:
    """Return what a predicate (whole) adds behind the other conditions on a table, as ` AND …`."""
    if predicate is None:
        return "", ()
    # days count back from today, and today stands in the SQL
    today = datetime.now(UTC).date()
    return _compiled(model, msgspec.json.encode(predicate, order="deterministic"), connection.vendor, today)


@lru_cache(maxsize=256)
def _compiled(model: type[Model], predicate: bytes, vendor: str, today: date) -> Where:
    """Compile a predicate by the ORM once a day; the SQL names the table itself, as `_people` does."""
    raw = msgspec.json.decode(predicate)
    condition: Q = segments.to_q(raw) if model is Subscriber else segments.devices_q(raw)
    query = model._default_manager.filter(condition).query
    try:
        sql, values = query.get_compiler(connection=connection).compile(query.where)
    except FullResultSet:
        return "", ()
    except EmptyResultSet:
        return " AND 1 = 0", ()
    return f" AND ({sql})", tuple(values)
