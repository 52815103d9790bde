"""Campaigns that an event starts: the rule that is the campaign's own, what is wrong with it, and what it comes to."""

import difflib
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid5

from django.db.models import Count, Max, Min
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy

from campaigns import rules
from campaigns.models import Campaign, Delayed, Event, EventType, Rule

LOOKED_AT = 50
"""Newest events of a type whose fields are known."""
LOOKED_THROUGH = 2_000
"""Newest events among which those of a type are looked for."""
_FIELD = re.compile(r"\bevent\.data((?:\.[A-Za-z_]\w*)+)")
_UNITS = (
    (86_400, ngettext_lazy("%(count)s day", "%(count)s days", "count")),
    (3_600, ngettext_lazy("%(count)s hour", "%(count)s hours", "count")),
    (60, ngettext_lazy("%(count)s minute", "%(count)s minutes", "count")),
    (1, ngettext_lazy("%(count)s second", "%(count)s seconds", "count")),
)

_ENGLISH = {
    86_400: {"day", "days", "d"},
    3_600: {"hour", "hours", "h", "hr", "hrs"},
    60: {"minute", "minutes", "m", "min", "mins"},
    1: {"second", "seconds", "s", "sec", "secs"},
}


class TriggerError(ValueError):
    """An event that cannot start a campaign as it is: `field` of the campaign and a sentence."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(reason)


def check(campaign: Campaign) -> None:
    """Raise `TriggerError` for what does not go together; a campaign without an event must not wait after one."""
    if campaign.event_type_id is None:
        for name in ("event_condition", "event_delay", "event_unless_id", "event_once_days"):
            if getattr(campaign, name):
                raise TriggerError(
                    "event_type", _("Choose the event that starts it, or empty what goes with one.")
                )
        return
    for name in ("repeat", "send_at"):
        if getattr(campaign, name):
            said = _("An event starts it, so it has no time of its own: empty this, or take the event out.")
            raise TriggerError(name, said)
    if campaign.event_condition.strip():
        try:
            rules.compile_expression(campaign.event_condition)
        except rules.RuleError as error:
            raise TriggerError("event_condition", f"{error}.") from None
    if problem := _rule(campaign, Rule()).waiting_problem():
        name = {"delay": "event_delay", "unless": "event_unless", "once_days": "event_once_days"}[problem[0]]
        raise TriggerError(name, problem[1])


def arm(campaign: Campaign) -> None:
    """Put the campaign's own rule in force as the campaign says now, or out of it when no event starts it any more."""
    if campaign.event_type_id is None:
        disarm(campaign)
        return
    uid = uuid5(campaign.uid, "event")
    rule = Rule.objects.filter(uid=uid).first() or Rule(uid=uid, name=_name(campaign))
    _rule(campaign, rule).save()


def disarm(campaign: Campaign) -> None:
    """Take the campaign's own rule out of force: who waits is not told."""
    Rule.objects.filter(campaign=campaign, of_campaign=True).update(enabled=False)


def _rule(campaign: Campaign, rule: Rule) -> Rule:
    rule.application_id = campaign.application_id
    rule.campaign = campaign
    rule.event_type_id = campaign.event_type_id or 0
    rule.condition = campaign.event_condition
    rule.delay = campaign.event_delay
    rule.unless_id = campaign.event_unless_id
    rule.once_days = campaign.event_once_days
    rule.lane = campaign.lane
    rule.recipients = Rule.Recipients.SUBJECT
    rule.of_campaign = rule.enabled = True
    return rule


def _name(campaign: Campaign) -> str:
    name = campaign.name[:150]
    if Rule.objects.filter(application=campaign.application_id, name=name).exists():
        name = f"{campaign.name[:130]} ({str(campaign.uid)[:8]})"
    return name


def said_of(campaign: Campaign) -> dict[str, Any]:
    """Return what an approval is given for besides the content: which event starts it, and how."""
    return {
        "event": campaign.event_type.name if campaign.event_type else "",
        "condition": campaign.event_condition,
        "delay": campaign.event_delay,
        "unless": campaign.event_unless.name if campaign.event_unless else "",
        "once_days": campaign.event_once_days,
    }


class Waiting(NamedTuple):
    """How many people wait for a campaign after their events, and when the first and the last of them are due (UTC)."""

    people: int
    first: datetime | None
    last: datetime | None


def waiting(campaign: Campaign) -> Waiting:
    """Return who waits for a campaign now."""
    rows = Delayed.objects.filter(rule__campaign=campaign, state=Delayed.State.WAITING)
    found = rows.aggregate(people=Count("pk"), first=Min("due_at"), last=Max("due_at"))
    return Waiting(found["people"], _at(found["first"]), _at(found["last"]))


def _at(epoch: float | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def sentences(campaign: Campaign) -> list[str]:
    """Return, a sentence each, when somebody is told by a campaign that an event starts."""
    assert campaign.event_type is not None
    name = campaign.event_type.name
    when = (
        _("%(delay)s after an event “%(event)s”") % {"delay": span(campaign.event_delay), "event": name}
        if campaign.event_delay
        else _("At once when an event “%(event)s” comes") % {"event": name}
    )
    met = _(" that meets the condition") if campaign.event_condition.strip() else ""
    said = [_("%(when)s%(met)s, whomever it is about is told.") % {"when": when, "met": met}]
    if campaign.event_unless:
        said.append(
            _("Who has an event “%(event)s” before that is not told.") % {"event": campaign.event_unless.name}
        )
    if campaign.event_once_days:
        said.append(
            ngettext(
                "Each person is told at most once a day, counted from their event.",
                "Each person is told at most once in %(days)s days, counted from their event.",
                campaign.event_once_days,
            )
            % {"days": campaign.event_once_days}
        )
    return said


def span(seconds: int) -> str:
    """Return a time as people write it, as `2 hours` or `1 day 12 hours`."""
    parts = []
    for size, said in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(said % {"count": count})
    return " ".join(parts)


def seconds_of(text: str) -> int:
    """Return the seconds of a time as people write it (`2 hours`, `1d 12h`, `2 Stunden`); raises `ValueError`."""
    left = text.strip().lower().replace(",", " ")
    total = 0
    while left:
        found = re.match(r"(\d{1,9})\s*([^\W\d_]+)\s*(?:and\s+)?", left)
        if found is None:
            raise ValueError(text)
        size = next((size for size, said in _UNITS if found[2] in _names(size, said)), 0)
        if not size:
            raise ValueError(text)
        total += int(found[1]) * size
        left = left[found.end() :]
    return total


def _names(size: int, said: Any) -> set[str]:
    """Return how a unit may be written: in English, or as the language of the page has it."""
    own = {(said % {"count": count}).replace(str(count), "").strip().lower() for count in (1, 2)}
    return _ENGLISH[size] | own


def fields_of(event_type: EventType) -> list[str]:
    """Return the fields that events of a type have, as `event.data.total`: its schema's, and its newest events'."""
    found: dict[str, None] = {}
    schema = event_type.schema if isinstance(event_type.schema, dict) else {}
    _properties(schema, "event.data", found)
    newest = Event.objects.filter(application=event_type.application_id).order_by("-id")[:LOOKED_THROUGH]
    rows = Event.objects.filter(pk__in=newest.values("pk"), type=event_type.name).order_by("-id")[:LOOKED_AT]
    for data in rows.values_list("data", flat=True):
        _keys(data, "event.data", found)
    return list(found)[:100]


def _properties(schema: Any, place: str, found: dict[str, None]) -> None:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or place.count(".") > 4:
        return
    for name, inner in properties.items():
        if str(name).isidentifier():
            found[f"{place}.{name}"] = None
            _properties(inner, f"{place}.{name}", found)


def _keys(data: Any, place: str, found: dict[str, None]) -> None:
    if not isinstance(data, dict) or place.count(".") > 4:
        return
    for name, inner in data.items():
        if str(name).isidentifier():
            found[f"{place}.{name}"] = None
            _keys(inner, f"{place}.{name}", found)


def suggestions(condition: str, known: list[str]) -> list[str]:
    """Return a sentence for each field of a condition that no event seen so far has; none where none is known."""
    if not known:
        return []
    said = []
    for path in dict.fromkeys(_FIELD.findall(condition)):
        name = f"event.data{path}"
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        said.append(
            _("`%(name)s`: did you mean `%(near)s`?") % {"name": name, "near": near[0]}
            if near
            else _("`%(name)s`: no event looked at has this field.") % {"name": name}
        )
    return said
