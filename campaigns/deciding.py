"""One event before one rule: whether it is forwarded, to whom, and why not."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from campaigns import reasons, rules
from campaigns.models import Event, Rule
from campaigns.rulebook import Ready
from campaigns.rules import EvaluationError
from delivery import remarks


class Verdict(msgspec.Struct, frozen=True):
    """What a rule makes of an event; the detail is in English (`said`).

    `external_ids` are those it is for; None with the reason `forwarded` means the campaign's
    audience. Whether they are subscribers is not known yet.
    """

    reason: str
    detail: str = ""
    external_ids: list[str] | None = None

    @property
    def forwarded(self) -> bool:
        return self.reason == reasons.FORWARDED


def said(detail: str) -> str:
    """Return what a decision keeps beside its reason, in the language that is active."""
    return remarks.said(detail, (*reasons.REMARKS, *rules.REMARKS))


def facts(event: Event) -> dict[str, Any]:
    """Return what an expression sees as `event`; `time` is a timestamp."""
    return {
        "id": event.event_id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "data": event.data,
    }


def told(event: Event) -> dict[str, Any]:
    """Return what a template sees as `event`; `time` is a text (RFC 3339)."""
    return {**facts(event), "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z")}


def judge(event: Event, rule: Ready, now: datetime) -> Verdict:
    """Return what a rule makes of an event at an instant (aware); never raises for what an expression does."""
    age = (now - event.time).total_seconds()
    if age > rule.max_age:
        return Verdict(reasons.TOO_OLD, reasons.SECONDS_OLD % {"age": round(age), "most": rule.max_age})
    if rule.fault:
        return Verdict(reasons.CONDITION_ERROR, rule.fault)
    try:
        if rule.condition is not None:
            met = rule.condition.evaluate({"event": facts(event)})
            if not isinstance(met, bool):
                return Verdict(reasons.CONDITION_ERROR, reasons.NEITHER % {"value": repr(met)[:60]})
            if not met:
                return Verdict(reasons.CONDITION_FALSE)
        if rule.snapshot is None:
            return Verdict(reasons.CAMPAIGN_NOT_LIVE)
        return _recipients(event, rule)
    except EvaluationError as error:
        return Verdict(reasons.CONDITION_ERROR, str(error))


def _recipients(event: Event, rule: Ready) -> Verdict:
    bound = event.sender == "clients" and not rule.beyond_sender
    if rule.recipients == Rule.Recipients.AUDIENCE:
        return Verdict(reasons.BEYOND_SENDER) if bound else Verdict(reasons.FORWARDED)
    if rule.recipients == Rule.Recipients.SUBJECT:
        ids = [event.subject] if event.subject else []
    else:
        assert rule.recipient_ids is not None
        value = rule.recipient_ids.evaluate({"event": facts(event)})
        if not isinstance(value, list) or not all(_is_id(one) for one in value):
            return Verdict(reasons.CONDITION_ERROR, reasons.NO_LIST % {"value": repr(value)[:60]})
        ids = list(dict.fromkeys(str(one) for one in value))
    if not ids:
        return Verdict(reasons.NO_RECIPIENTS)
    if len(ids) > reasons.RECIPIENTS_LIMIT:
        return Verdict(reasons.TOO_MANY_RECIPIENTS, reasons.SO_MANY % {"count": len(ids)})
    if not bound or ids == [event.subject]:
        return Verdict(reasons.FORWARDED, external_ids=ids)
    if event.subject not in ids:
        return Verdict(reasons.BEYOND_SENDER)
    return Verdict(reasons.FORWARDED, reasons.OTHERS_LEFT_OUT % {"count": len(ids) - 1}, [event.subject])


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
