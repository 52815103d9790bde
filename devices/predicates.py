"""The language of segments: reads a predicate's JSON into nodes, or says which place of it is wrong."""

import re
from collections.abc import Container, Iterator
from difflib import get_close_matches
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from devices.wall_time import zone_names
from devices.words import no_zone

PLATFORMS = ("android", "ios", "web", "tv", "stick")
PROVIDERS = ("fcm", "apns", "webpush", "socket")
FIXED = {"platform": PLATFORMS, "provider": PROVIDERS}
"""Fields with a fixed list of values."""
MAX_DEPTH = 8
MAX_NODES = 100
WHOLE_DEPTH = 40
WHOLE_NODES = 500
"""What a predicate may come to with the segments inside it put in their places."""
MAX_DAYS = 365
MAX_TIMES = 100_000
MAX_VALUES = 1_000
MAX_TEXT = 255
MAX_NUMBER = 2**53
"""The whole numbers up to it are exact wherever JSON goes (RFC 8259 section 6)."""
ATTRIBUTE_NAME = re.compile(r"[^\W\d][\w.\- ]{0,63}")
OPERATORS = {
    "attribute": ("is", "in", "above", "below", "exists", "contains"),
    "locale": ("is", "in"),
    "time_zone": ("is", "in"),
    "external_id": ("is", "in"),
    "tag": ("is", "in"),
    "created": ("within_days", "before_days"),
    "segment": ("is",),
    "event": ("at_least", "at_most", "within_days"),
    "received": ("at_least", "at_most", "within_days"),
    "opened": ("at_least", "at_most", "within_days"),
    "platform": ("is", "in"),
    "provider": ("is", "in"),
    "app_version": ("is", "in", "above", "below"),
    "device_locale": ("is", "in"),
    "device_time_zone": ("is", "in"),
    "last_seen": ("within_days", "before_days"),
}
"""What a condition may be about, and how each may be compared."""
DEVICE_FIELDS = frozenset(
    {"platform", "provider", "app_version", "device_locale", "device_time_zone", "last_seen"}
)
ZONED = ("time_zone", "device_time_zone")
BEHAVIOUR = ("event", "received", "opened")
"""Conditions about what a subscriber did, counted as facts (`devices.facts`)."""
DAYS = ("within_days", "before_days")
MAX_EVENT = 150
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){0,3}")


class PredicateError(ValueError):
    """A predicate that cannot be read; `pointer` (RFC 6901) is the place, `reason` says what is allowed."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(
            _("At %(pointer)s: %(reason)s") % {"pointer": pointer or _("the top"), "reason": reason}
        )
        self.pointer = pointer
        self.reason = reason


class Condition(msgspec.Struct, frozen=True):
    """One comparison; `name` is the attribute's or the event's, `values` the operands (of `exists`: one bool).

    Of behaviour the operator is `times`, and the values are (at least, at most or None, within days).
    """

    field: str
    operator: str
    values: tuple[Any, ...]
    name: str = ""

    @property
    def on_device(self) -> bool:
        return self.field in DEVICE_FIELDS

    @property
    def kind(self) -> str:
        """The kind of fact that a condition about behaviour counts."""
        return f"event:{self.name}" if self.field == "event" else self.field


class Group(msgspec.Struct, frozen=True):
    """`all` or `any` of some nodes."""

    kind: str
    parts: tuple["Node", ...]


class Not(msgspec.Struct, frozen=True):
    """The contrary of a node."""

    part: "Node"


Node = Condition | Group | Not


def parse(predicate: Any, *, whole: bool = False) -> Node | None:
    """Return the nodes of a predicate's JSON; None stands for everybody.

    Raises `PredicateError` for anything else than the language, deeper than 8 or of more than 100 nodes, and for time
    zones that there are not; with `whole` (the segments inside it are put in their places) 40 and 500, and any zones.
    """
    reader = _Reader(WHOLE_DEPTH, WHOLE_NODES) if whole else _Reader(MAX_DEPTH, MAX_NODES, zones=zone_names())
    return None if predicate is None else reader.node(predicate, "", 1)


def conditions(node: Node | None) -> Iterator[Condition]:
    """Yield every condition of a predicate."""
    if isinstance(node, Condition):
        yield node
    elif isinstance(node, Not):
        yield from conditions(node.part)
    elif node is not None:
        for part in node.parts:
            yield from conditions(part)


def escaped(key: str) -> str:
    """Return a key as a step of a JSON pointer (RFC 6901 section 3)."""
    return key[:64].replace("~", "~0").replace("/", "~1")


def device_platforms(predicate: Any) -> set[str] | None:
    """Return the platforms whose devices a predicate can choose, or None for all of them.

    A platform is left out when the predicate is false for its devices whoever holds them.
    """
    node = parse(predicate, whole=True)
    chosen = {name for name in PLATFORMS if node is None or _holds(node, name) is not False}
    return None if len(chosen) == len(PLATFORMS) else chosen


def _holds(node: Node, platform: str) -> bool | None:
    """Say whether a node holds for a device of `platform`; None: that depends on more than the platform."""
    if isinstance(node, Condition):
        return platform in node.values if node.field == "platform" else None
    if isinstance(node, Not):
        inner = _holds(node.part, platform)
        return None if inner is None else not inner
    decisive = node.kind == "any"
    answers = [_holds(part, platform) for part in node.parts]
    if decisive in answers:
        return decisive
    return None if None in answers else not decisive


class _Reader:
    """Reads one predicate and counts its nodes."""

    def __init__(self, most_deep: int, most_nodes: int, *, zones: Container[str] | None = None) -> None:
        # not of a predicate that was saved before: the time zone database may have lost a name since
        self.zones = zones
        self.most_deep = most_deep
        self.most_nodes = most_nodes
        self.nodes = 0

    def node(self, raw: Any, at: str, depth: int) -> Node:
        self.nodes += 1
        if depth > self.most_deep:
            raise PredicateError(
                at, _("a predicate is at most %(most_deep)s deep.") % {"most_deep": self.most_deep}
            )
        if self.nodes > self.most_nodes:
            raise PredicateError(
                at,
                _("a predicate has at most %(most_nodes)s conditions and groups.")
                % {"most_nodes": self.most_nodes},
            )
        if not isinstance(raw, dict) or not raw:
            raise PredicateError(at, _('write an object such as {"locale": "de"} or {"all": […]}.'))
        if "attribute" in raw:
            return self._attribute(raw, at)
        if "event" in raw:
            return _event(raw, at)
        if len(raw) > 1:
            raise PredicateError(
                at,
                _('one key an object, found %(listed)s; join conditions by {"all": […]}.')
                % {"listed": _listed(raw)},
            )
        [(key, value)] = raw.items()
        place = f"{at}/{escaped(key)}"
        if key in ("all", "any"):
            if not isinstance(value, list) or not value:
                raise PredicateError(place, _("write a list of at least one condition."))
            return Group(
                key, tuple(self.node(part, f"{place}/{i}", depth + 1) for i, part in enumerate(value))
            )
        if key == "not":
            return Not(self.node(value, place, depth + 1))
        if key not in OPERATORS:
            raise PredicateError(place, _unknown(key, ("all", "any", "not", *OPERATORS)))
        if key in BEHAVIOUR:
            return _behaviour(key, value, place)
        if isinstance(value, dict):
            operator, operand, place = self._operator(key, value, place)
        else:
            operator, operand = ("in" if isinstance(value, list) else "is"), value
        if operator in DAYS:
            return Condition(key, operator, (_number(operand, place, 1, MAX_DAYS),))
        if OPERATORS[key][0] in DAYS:
            raise PredicateError(
                place,
                _("%(key)s is compared by exactly one of %(listed)s.")
                % {"key": key, "listed": _listed(OPERATORS[key])},
            )
        if operator not in OPERATORS[key]:
            raise PredicateError(place, _("%(key)s takes one value, not a list.") % {"key": key})
        texts = _texts(key, operator, operand, place)
        if key in ZONED and self.zones is not None:
            for part, name in _each(operator, operand, place):
                if name not in self.zones:
                    raise PredicateError(part, no_zone(name[:64]))
        return Condition(key, operator, texts)

    def _attribute(self, raw: dict[str, Any], at: str) -> Condition:
        name = raw["attribute"]
        if not isinstance(name, str) or not ATTRIBUTE_NAME.fullmatch(name):
            raise PredicateError(
                f"{at}/attribute",
                _(
                    "an attribute's name is a text of at most 64 letters, digits, “_”, “-”, “.” and spaces, "
                    "and starts with a letter or “_”."
                ),
            )
        rest = {key: value for key, value in raw.items() if key != "attribute"}
        operator, operand, place = self._operator("attribute", rest, at)
        return Condition("attribute", operator, _operands(operator, operand, place), name)

    def _operator(self, field: str, raw: dict[str, Any], at: str) -> tuple[str, Any, str]:
        allowed = OPERATORS[field]
        for key in raw:
            if key not in allowed:
                raise PredicateError(f"{at}/{escaped(key)}", _unknown(key, allowed))
        if len(raw) != 1:
            raise PredicateError(
                at,
                _("%(field)s is compared by exactly one of %(listed)s.")
                % {"field": field, "listed": _listed(allowed)},
            )
        [(operator, operand)] = raw.items()
        return operator, operand, f"{at}/{operator}"


def _event(raw: dict[str, Any], at: str) -> Condition:
    name = raw["event"]
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_EVENT:
        raise PredicateError(
            f"{at}/event",
            _("write an event type's name, a text of 1 to %(max_event)s characters.")
            % {"max_event": MAX_EVENT},
        )
    return _behaviour("event", {key: value for key, value in raw.items() if key != "event"}, at, name)


def _behaviour(field: str, raw: Any, at: str, name: str = "") -> Condition:
    """Return a condition on how often something happened; without a number it is at least once."""
    if not isinstance(raw, dict):
        raise PredicateError(at, _('write an object such as {"at_least": 1, "within_days": 30}.'))
    for key in raw:
        if key not in OPERATORS[field]:
            raise PredicateError(f"{at}/{escaped(key)}", _unknown(key, OPERATORS[field]))
    if "within_days" not in raw:
        raise PredicateError(
            at,
            _("say in how many of the last days, as within_days: 1 to %(max_days)s.")
            % {"max_days": MAX_DAYS},
        )
    days = _number(raw["within_days"], f"{at}/within_days", 1, MAX_DAYS)
    most = _number(raw["at_most"], f"{at}/at_most", 0, MAX_TIMES) if "at_most" in raw else None
    least = 0 if most is not None else 1
    if "at_least" in raw:
        least = _number(raw["at_least"], f"{at}/at_least", 1, MAX_TIMES)
    if most is not None and most < least:
        raise PredicateError(
            f"{at}/at_most",
            _("nothing is at least %(least)s times and at most %(most)s.") % {"least": least, "most": most},
        )
    return Condition(field, "times", (least, most, days), name)


def _number(value: Any, at: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise PredicateError(
            at, _("write a whole number from %(least)s to %(most)s.") % {"least": least, "most": most}
        )
    return value


def _operands(operator: str, operand: Any, at: str) -> tuple[Any, ...]:
    """Return the operands of a comparison with an attribute."""
    if operator == "exists":
        if not isinstance(operand, bool):
            raise PredicateError(at, _("write true or false."))
        return (operand,)
    if operator in ("above", "below") and (isinstance(operand, bool) or not isinstance(operand, int | float)):
        raise PredicateError(at, _("write a number; only numbers are above or below others."))
    for place, value in _each(operator, operand, at):
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise PredicateError(
                place, _("a text of at most %(max_text)s characters.") % {"max_text": MAX_TEXT}
            )
        if not isinstance(value, str | int | float | bool | None):
            raise PredicateError(place, _("write a text, a number, true, false or null."))
        if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:
            raise PredicateError(place, _("write a number between -2^53 and 2^53."))
    return tuple(operand) if operator == "in" else (operand,)


def _texts(field: str, operator: str, operand: Any, at: str) -> tuple[str, ...]:
    """Return the operands of a comparison with a field, which are texts."""
    for place, value in _each(operator, operand, at):
        if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
            raise PredicateError(
                place, _("write a text of 1 to %(max_text)s characters.") % {"max_text": MAX_TEXT}
            )
        if field in FIXED and value not in FIXED[field]:
            raise PredicateError(place, _unknown(value, FIXED[field]))
        if field == "segment" and not _UID.fullmatch(value):
            raise PredicateError(place, _("write a segment's id, as the API and its page show it."))
        if field == "app_version" and not _VERSION.fullmatch(value):
            raise PredicateError(place, _("write a version of one to four numbers, as 2.0 or 4.12.1."))
    return tuple(operand) if operator == "in" else (operand,)


def _each(operator: str, operand: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Yield each operand with its place."""
    if operator != "in":
        yield at, operand
        return
    if not isinstance(operand, list) or not 1 <= len(operand) <= MAX_VALUES:
        raise PredicateError(
            at, _("write a list of 1 to %(max_values)s values.") % {"max_values": MAX_VALUES}
        )
    for index, value in enumerate(operand):
        yield f"{at}/{index}", value


def _unknown(found: str, allowed: tuple[str, ...]) -> str:
    near = get_close_matches(found, allowed, n=1)
    return _("“%(found)s” is not known; ") % {"found": found[:64]} + (
        _("did you mean “%(near)s”?") % {"near": near[0]}
        if near
        else _("write one of %(listed)s.") % {"listed": _listed(allowed)}
    )


def _listed(names: Any) -> str:
    return ", ".join(f"“{name}”" for name in names)
