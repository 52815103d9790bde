"""The language of segments: reads a predicate's JSON into nodes, or says which place of it is wrong."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import msgspec

PLATFORMS = ("android", "ios", "web", "tv", "stick")
MAX_DEPTH = 8
MAX_NODES = 100
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
    "platform": ("is", "in"),
    "app_version": ("is", "in", "above", "below"),
}
"""What a condition may be about, and how each may be compared."""
DEVICE_FIELDS = frozenset({"platform", "app_version"})
_VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){0,3}")


class PredicateError(ValueError):
    """A predicate that cannot be read; `pointer` (RFC 6901) is the place, `reason` says what is allowed."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"At {pointer or 'the top'}: {reason}")
        self.pointer = pointer
        self.reason = reason


class Condition(msgspec.Struct, frozen=True):
    """One comparison; `name` is the attribute's, `values` the operands (of `exists`: one bool)."""

    field: str
    operator: str
    values: tuple[Any, ...]
    name: str = ""

    @property
    def on_device(self) -> bool:
        return self.field in DEVICE_FIELDS


class Group(msgspec.Struct, frozen=True):
    """`all` or `any` of some nodes."""

    kind: str
    parts: tuple["Node", ...]


class Not(msgspec.Struct, frozen=True):
    """The contrary of a node."""

    part: "Node"


Node = Condition | Group | Not


def parse(predicate: Any) -> Node | None:
    """Return the nodes of a predicate's JSON; None stands for everybody.

    Raises `PredicateError` for anything else than the language, deeper than 8 or of more than 100 nodes.
    """
    return None if predicate is None else _Reader().node(predicate, "", 1)


def device_platforms(predicate: Any) -> set[str] | None:
    """Return the platforms whose devices a predicate can choose, or None for all of them.

    A platform is left out when the predicate is false for its devices whoever holds them.
    """
    node = parse(predicate)
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

    def __init__(self) -> None:
        self.nodes = 0

    def node(self, raw: Any, at: str, depth: int) -> Node:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise PredicateError(at, f"a predicate is at most {MAX_DEPTH} deep.")
        if self.nodes > MAX_NODES:
            raise PredicateError(at, f"a predicate has at most {MAX_NODES} conditions and groups.")
        if not isinstance(raw, dict) or not raw:
            raise PredicateError(at, 'write an object such as {"locale": "de"} or {"all": […]}.')
        if "attribute" in raw:
            return self._attribute(raw, at)
        if len(raw) > 1:
            raise PredicateError(
                at, f'one key an object, found {_listed(raw)}; join conditions by {{"all": […]}}.'
            )
        [(key, value)] = raw.items()
        place = f"{at}/{_escaped(key)}"
        if key in ("all", "any"):
            if not isinstance(value, list) or not value:
                raise PredicateError(place, "write a list of at least one condition.")
            return Group(
                key, tuple(self.node(part, f"{place}/{i}", depth + 1) for i, part in enumerate(value))
            )
        if key == "not":
            return Not(self.node(value, place, depth + 1))
        if key not in OPERATORS:
            raise PredicateError(place, _unknown(key, ("all", "any", "not", *OPERATORS)))
        if isinstance(value, dict):
            operator, operand, place = self._operator(key, value, place)
        else:
            operator, operand = ("in" if isinstance(value, list) else "is"), value
        return Condition(key, operator, _texts(key, operator, operand, place))

    def _attribute(self, raw: dict[str, Any], at: str) -> Condition:
        name = raw["attribute"]
        if not isinstance(name, str) or not ATTRIBUTE_NAME.fullmatch(name):
            raise PredicateError(
                f"{at}/attribute",
                "an attribute's name is a text of at most 64 letters, digits, “_”, “-”, “.” and spaces, "
                "and starts with a letter or “_”.",
            )
        rest = {key: value for key, value in raw.items() if key != "attribute"}
        operator, operand, place = self._operator("attribute", rest, at)
        return Condition("attribute", operator, _operands(operator, operand, place), name)

    def _operator(self, field: str, raw: dict[str, Any], at: str) -> tuple[str, Any, str]:
        allowed = OPERATORS[field]
        for key in raw:
            if key not in allowed:
                raise PredicateError(f"{at}/{_escaped(key)}", _unknown(key, allowed))
        if len(raw) != 1:
            raise PredicateError(at, f"{field} is compared by exactly one of {_listed(allowed)}.")
        [(operator, operand)] = raw.items()
        return operator, operand, f"{at}/{operator}"


def _operands(operator: str, operand: Any, at: str) -> tuple[Any, ...]:
    """Return the operands of a comparison with an attribute."""
    if operator == "exists":
        if not isinstance(operand, bool):
            raise PredicateError(at, "write true or false.")
        return (operand,)
    if operator in ("above", "below") and (isinstance(operand, bool) or not isinstance(operand, int | float)):
        raise PredicateError(at, "write a number; only numbers are above or below others.")
    for place, value in _each(operator, operand, at):
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise PredicateError(place, f"a text of at most {MAX_TEXT} characters.")
        if not isinstance(value, str | int | float | bool | None):
            raise PredicateError(place, "write a text, a number, true, false or null.")
        if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:
            raise PredicateError(place, "write a number between -2^53 and 2^53.")
    return tuple(operand) if operator == "in" else (operand,)


def _texts(field: str, operator: str, operand: Any, at: str) -> tuple[str, ...]:
    """Return the operands of a comparison with a field, which are texts."""
    for place, value in _each(operator, operand, at):
        if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
            raise PredicateError(place, f"write a text of 1 to {MAX_TEXT} characters.")
        if field == "platform" and value not in PLATFORMS:
            raise PredicateError(place, _unknown(value, PLATFORMS))
        if field == "app_version" and not _VERSION.fullmatch(value):
            raise PredicateError(place, "write a version of one to four numbers, as 2.0 or 4.12.1.")
    return tuple(operand) if operator == "in" else (operand,)


def _each(operator: str, operand: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Yield each operand with its place."""
    if operator != "in":
        yield at, operand
        return
    if not isinstance(operand, list) or not 1 <= len(operand) <= MAX_VALUES:
        raise PredicateError(at, f"write a list of 1 to {MAX_VALUES} values.")
    for index, value in enumerate(operand):
        yield f"{at}/{index}", value


def _unknown(found: str, allowed: tuple[str, ...]) -> str:
    near = get_close_matches(found, allowed, n=1)
    return f"“{found[:64]}” is not known; " + (
        f"did you mean “{near[0]}”?" if near else f"write one of {_listed(allowed)}."
    )


def _listed(names: Any) -> str:
    return ", ".join(f"“{name}”" for name in names)


def _escaped(key: str) -> str:
    """Return a key as a step of a JSON pointer (RFC 6901 section 3)."""
    return key[:64].replace("~", "~0").replace("/", "~1")
