"""Why a segment chooses a subscriber or not: its conditions one by one, as SQL answers them now.

A condition stands here as `devices.segments` uses it: device conditions of one `all` are one
condition about one device, and a `not` with all that is in it is one too.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from django.db.models import Case, Q, Value, When
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from devices import segments
from devices.predicates import BEHAVIOUR, DAYS, Condition, Group, Node, Not, parse

if TYPE_CHECKING:
    from devices.models import Subscriber

MOST_VALUES = 5
COMPARED = {
    "is": gettext_noop("%(what)s is %(value)s"),
    "above": gettext_noop("%(what)s is above %(value)s"),
    "below": gettext_noop("%(what)s is below %(value)s"),
    "contains": gettext_noop("%(what)s contains %(value)s"),
}
DONE = {"received": gettext_noop("got a notification"), "opened": gettext_noop("opened a notification")}
FIELDS = {
    "locale": gettext_noop("the language"),
    "time_zone": gettext_noop("the time zone"),
    "external_id": gettext_noop("the external id"),
    "tag": gettext_noop("a tag"),
    "created": gettext_noop("they were added"),
    "segment": gettext_noop("the list"),
    "platform": gettext_noop("platform"),
    "provider": gettext_noop("provider"),
    "device_locale": gettext_noop("language"),
    "device_time_zone": gettext_noop("time zone"),
    "last_seen": gettext_noop("last sign of life"),
    "app_version": gettext_noop("app version"),
}


class Leaf(msgspec.Struct, frozen=True):
    """One condition: in words, whether the subscriber meets it, and what they have instead ("" where unknown)."""

    condition: str
    met: bool
    found: str = ""

    @property
    def sentence(self) -> str:
        """The condition that is not met, with what stands there."""
        if not self.found:
            return _("%(condition)s is asked for") % {"condition": self.condition}
        values = {"condition": self.condition, "found": self.found}
        return _("%(condition)s is asked for, and it is %(found)s") % values


class Answer(msgspec.Struct, frozen=True):
    """Whether a segment chooses a subscriber; `leaves` are its conditions, `failing` those it fails for."""

    member: bool
    leaves: list[Leaf]
    failing: list[Leaf]


class _Unit(msgspec.Struct, frozen=True):
    name: str
    words: str
    condition: Q
    about: Condition | None = None


class _All(msgspec.Struct, frozen=True):
    kind: str
    parts: list["_Unit | _All"]


class Question:
    """A predicate to be put to one subscriber: `columns` go onto a query, `read` takes its row."""

    def __init__(self, predicate: Any) -> None:
        self._units: list[_Unit] = []
        node = parse(predicate, whole=True)
        self._tree = None if node is None else self._walk(node)
        self._whole = segments.to_q(predicate)

    @cached_property
    def columns(self) -> dict[str, Case]:
        """What to annotate a query over subscribers with: one column a condition, and one for the whole."""
        asked = {unit.name: unit.condition for unit in self._units}
        if self._tree is not None:
            asked["predicate_member"] = self._whole
        return {name: Case(When(q, then=Value(True)), default=Value(False)) for name, q in asked.items()}

    def read(self, row: Mapping[str, Any], subscriber: "Subscriber") -> Answer:
        """Return the answer that a row with the columns holds."""
        if self._tree is None:
            return Answer(True, [], [])
        leaves = {unit.name: _leaf(unit, bool(row[unit.name]), subscriber) for unit in self._units}
        member = bool(row["predicate_member"])
        failing = [] if member else [leaves[unit.name] for unit in self._blamed(self._tree, leaves)]
        return Answer(member, list(leaves.values()), failing)

    def _walk(self, node: Node) -> "_Unit | _All":
        if isinstance(node, Group):
            on_device = [part for part in node.parts if isinstance(part, Condition) and part.on_device]
            if node.kind == "any" or not on_device:
                return _All(node.kind, [self._walk(part) for part in node.parts])
            together = self._unit(_device_words(on_device), segments.with_device_q(list(on_device)))
            rest = [self._walk(part) for part in node.parts if part not in on_device]
            return _All("all", [together, *rest])
        about = node if isinstance(node, Condition) and not node.on_device else None
        return self._unit(words(node), segments.people_q(node), about)

    def _unit(self, text: str, condition: Q, about: Condition | None = None) -> _Unit:
        unit = _Unit(f"predicate_{len(self._units)}", text, condition, about)
        self._units.append(unit)
        return unit

    def _blamed(self, part: "_Unit | _All", leaves: Mapping[str, Leaf]) -> list[_Unit]:
        """Return the conditions for which a part does not hold; none when it does."""
        if isinstance(part, _Unit):
            return [] if leaves[part.name].met else [part]
        blamed = [self._blamed(inner, leaves) for inner in part.parts]
        if part.kind == "any" and not all(blamed):
            return []
        return [unit for units in blamed for unit in units]


def explain(predicate: Any, subscriber: "Subscriber") -> Answer:
    """Return why a predicate chooses a subscriber now or not, in one query."""
    from devices.models import Subscriber

    question = Question(predicate)
    row = Subscriber.objects.filter(pk=subscriber.pk).annotate(**question.columns).values().first()
    return question.read(row or dict.fromkeys(question.columns, False), subscriber)


def words(node: Node) -> str:
    """Return a predicate's node as people say it."""
    if isinstance(node, Not):
        return _("not (%(words)s)") % {"words": words(node.part)}
    if isinstance(node, Group):
        return (_(" and ") if node.kind == "all" else _(" or ")).join(words(part) for part in node.parts)
    return _device_words([node]) if node.on_device else _words(node)


def _device_words(conditions: Iterable[Condition]) -> str:
    return _("an active device whose %(words)s") % {"words": _(" and ").join(map(_words, conditions))}


def _words(condition: Condition) -> str:
    if condition.field in BEHAVIOUR:
        return _times(condition)
    if condition.operator in DAYS:
        when = (
            _("%(what)s within the last %(days)s days")
            if condition.operator == "within_days"
            else _("%(what)s before the last %(days)s days")
        )
        return when % {"what": _(FIELDS[condition.field]), "days": condition.values[0]}
    what = f"“{condition.name}”" if condition.field == "attribute" else _(FIELDS[condition.field])
    if condition.operator == "exists":
        return (_("%(what)s is set") if condition.values[0] else _("%(what)s is not set")) % {"what": what}
    if condition.operator == "in":
        listed = ", ".join(_said(value) for value in condition.values[:MOST_VALUES])
        more = len(condition.values) - MOST_VALUES
        if more > 0:
            values = {"what": what, "listed": listed, "more": more}
            return _("%(what)s is one of %(listed)s and %(more)s more") % values
        return _("%(what)s is one of %(listed)s") % {"what": what, "listed": listed}
    return _(COMPARED[condition.operator]) % {"what": what, "value": _said(condition.values[0])}


def _times(condition: Condition) -> str:
    least, most, days = condition.values
    did = DONE.get(condition.field)
    if least and most is not None:
        said = _("%(did)s at least %(least)s and at most %(most)s times in the last %(days)s days")
    elif most is not None:
        said = _("%(did)s at most %(most)s times in the last %(days)s days")
    else:
        said = _("%(did)s at least %(least)s times in the last %(days)s days")
    event = _("did “%(event)s”") % {"event": condition.name}
    return said % {"did": _(did) if did else event, "least": least, "most": most, "days": days}


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _leaf(unit: _Unit, met: bool, subscriber: "Subscriber") -> Leaf:
    return Leaf(unit.words, met, "" if unit.about is None else _found(unit.about, subscriber))


def _found(about: Condition, subscriber: "Subscriber") -> str:
    if about.field == "attribute":
        known = subscriber.attributes
        return _said(known[about.name])[:100] if about.name in known else _("not set")
    if about.field == "tag":
        return _said(subscriber.attributes.get(segments.TAGS))[:100]
    if about.field not in ("external_id", "locale", "time_zone"):
        return ""
    own = str(getattr(subscriber, about.field))
    if own:
        return _said(own)
    value = _said(getattr(subscriber.application, about.field))
    return _("%(value)s, the application's") % {"value": value}
