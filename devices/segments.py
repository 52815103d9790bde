"""Segments as SQL: turns a predicate into the subscribers it chooses, and which of their devices.

Models are imported inside the functions: the segment's own model validates with this module.
"""

import json
import operator
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Q
from django.db.models.lookups import Exact, In
from django.utils import timezone

from devices import facts
from devices.json_sql import JsonCompare, JsonHolds, JsonKind
from devices.predicates import (
    BEHAVIOUR,
    Condition,
    Group,
    Node,
    Not,
    PredicateError,
    conditions,
    device_platforms,
    parse,
)
from devices.versions import in_order

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from devices.models import Application, Subscriber

__all__ = [
    "PredicateError",
    "conditions",
    "device_platforms",
    "devices_q",
    "parse",
    "people_q",
    "subscribers",
    "to_q",
    "with_device_q",
]

EVERYBODY = Q()
NOBODY = Q(pk__in=[])
TAGS = "tags"
"""The attribute that holds a person's tags, a list of texts."""


def to_q(predicate: Any) -> Q:
    """Return the people a predicate chooses, as a condition on `Subscriber` without joins.

    A device condition means that the person has an active device like that; those that stand
    together in one `all` are about the same device, and `not` means that there is none.
    An empty locale or time zone of a person is the application's. Days count back from now.
    Segments inside it are put in their places before (`devices.nesting`); one that is still named
    is a static one: who is in its list now.
    """
    node = parse(predicate, whole=True)
    return EVERYBODY if node is None else people_q(node)


def devices_q(predicate: Any) -> Q:
    """Return which devices of the chosen people a predicate means, as a condition on `Device`.

    A device is left out when the predicate is false for it whoever its holder is.
    """
    node = parse(predicate, whole=True)
    return EVERYBODY if node is None else _possible(node)


def subscribers(application: "Application", predicate: Any) -> "QuerySet[Subscriber]":
    """Return the subscribers of an application that a predicate (None: everybody) chooses."""
    from devices.models import Subscriber
    from devices.nesting import whole

    return Subscriber.objects.filter(to_q(whole(application.pk, predicate)), application=application)


def people_q(node: Node) -> Q:
    """Return the people whom a node chooses."""
    if isinstance(node, Not):
        return ~people_q(node.part)
    if isinstance(node, Group):
        conditions = [part for part in node.parts if isinstance(part, Condition) and part.on_device]
        if node.kind == "any" or not conditions:
            return _joined(node.kind, [people_q(part) for part in node.parts])
        rest = [people_q(part) for part in node.parts if part not in conditions]
        return _joined("all", [with_device_q(conditions), *rest])
    return with_device_q([node]) if node.on_device else _person(node)


def with_device_q(conditions: list[Condition]) -> Q:
    """Return the people with an active device that meets all of some device conditions."""
    from devices.models import Device

    active = Device.objects.filter(subscriber=OuterRef("pk"), state=Device.State.ACTIVE)
    return Q(Exists(active.filter(*map(_device, conditions)).order_by()))


def _possible(node: Node) -> Q:
    """Return the devices for which a node is not false for certain."""
    if isinstance(node, Condition):
        return _device(node) if node.on_device else EVERYBODY
    if isinstance(node, Not):
        return _never(_certain(node.part))
    parts = [_possible(part) for part in node.parts]
    if node.kind == "any" and any(part == EVERYBODY for part in parts):
        return EVERYBODY
    return _joined(node.kind, parts)


def _certain(node: Node) -> Q:
    """Return the devices for which a node is true whoever holds them."""
    if isinstance(node, Condition):
        return _device(node) if node.on_device else NOBODY
    if isinstance(node, Not):
        return _never(_possible(node.part))
    parts = [_certain(part) for part in node.parts]
    if node.kind == "any":
        return _joined("any", [part for part in parts if part != NOBODY] or [NOBODY])
    return NOBODY if any(part == NOBODY for part in parts) else _joined("all", parts)


def _never(condition: Q) -> Q:
    """Return the contrary, keeping the two constants recognisable."""
    if condition == EVERYBODY:
        return NOBODY
    return EVERYBODY if condition == NOBODY else ~condition


def _joined(kind: str, parts: list[Q]) -> Q:
    return reduce(operator.and_ if kind == "all" else operator.or_, parts)


def _device(condition: Condition) -> Q:
    if condition.field in ("platform", "provider"):
        return Q(**{f"{condition.field}__in": condition.values})
    if condition.field == "last_seen":
        return _days("seen_at", condition)
    if condition.field == "device_locale":
        return _joined("any", [_speaks(value) for value in condition.values])
    if condition.field == "device_time_zone":
        return Q(time_zone__in=condition.values)
    keys = [in_order(value) for value in condition.values]
    if condition.operator in ("above", "below"):
        lookup = "gt" if condition.operator == "above" else "lt"
        return Q(**{f"version_order__{lookup}": keys[0]}) & ~Q(version_order="")
    return Q(version_order__in=keys)


def _person(condition: Condition) -> Q:
    if condition.field == "attribute":
        return _attribute(condition)
    if condition.field == "tag":
        return _joined("any", [Q(JsonHolds("attributes", TAGS, value)) for value in condition.values])
    if condition.field in BEHAVIOUR:
        least, most, days = condition.values
        return facts.condition(condition.kind, least=least, most=most, days=days)
    if condition.field == "segment":
        return _listed(condition.values[0])
    if condition.field == "created":
        return _days("created_at", condition)
    if condition.field == "external_id":
        return Q(external_id__in=condition.values)
    if condition.field == "locale":
        return _own_or_application(_joined("any", [_speaks(value) for value in condition.values]), "locale")
    return _own_or_application(Q(time_zone__in=condition.values), "time_zone")


def _days(column: str, condition: Condition) -> Q:
    # to the start of a day (UTC): the condition means the same all day, and its SQL can be kept so long
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=condition.values[0] - 1)
    return Q(**{f"{column}__{'gte' if condition.operator == 'within_days' else 'lt'}": since})


def _listed(uid: str) -> Q:
    """Return who is in the list of a static segment now."""
    from devices.models import SegmentMember

    return Q(Exists(SegmentMember.objects.filter(subscriber=OuterRef("pk"), segment__uid=uid).order_by()))


def _speaks(value: str) -> Q:
    """Return the rows of a language: `de` is met by de and de-AT, `de-AT` by itself only (RFC 4647 section 3.3.1)."""
    tag = value.replace("_", "-")
    return Q(locale__iexact=tag) | Q(locale__istartswith=tag + "-")


def _own_or_application(condition: Q, field: str) -> Q:
    from devices.models import Application

    applications = Application.objects.filter(condition).order_by().values("pk")
    return condition | (Q(**{field: ""}) & Q(application__in=applications))


def _attribute(condition: Condition) -> Q:
    name, values = condition.name, condition.values
    if condition.operator == "exists":
        there = ~Q(Exact(JsonKind("attributes", name), "missing"))
        return there if values[0] else ~there
    if condition.operator == "contains":
        return Q(JsonHolds("attributes", name, values[0]))
    if condition.operator in ("above", "below"):
        return Q(
            JsonCompare(
                "attributes", name, "number", ">" if condition.operator == "above" else "<", list(values)
            )
        )
    kinds: dict[str, list[Any]] = {}
    for value in values:
        kinds.setdefault(_kind(value), []).append(value)
    return _joined("any", [_equal(name, kind, among) for kind, among in kinds.items()])


def _equal(name: str, kind: str, among: list[Any]) -> Q:
    if kind in ("string", "number"):
        return Q(JsonCompare("attributes", name, kind, "in", among))
    return Q(In(JsonKind("attributes", name), sorted({json.dumps(value) for value in among})))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"
