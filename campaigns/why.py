"""Why a subscriber got a notification or not, from six reads at most.

They are: decisions, run, audience, policy, outcomes, receipts.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, Q, Subquery
from django.utils.translation import gettext as _

from campaigns import reasons
from campaigns.answering import answer
from campaigns.deciding import facts, said
from campaigns.models import Campaign, Decision, Rule
from campaigns.rules import EvaluationError, RuleError, compile_expression
from delivery.log.store import OutcomeRow, ReceiptRow, log_store
from delivery.models import Run, Shard, Stopped, held
from delivery.reasons import outcome_sentence, stopped_sentence
from delivery.snapshot import from_json
from devices.explaining import Answer, Question
from devices.models import Application, Category, Device, Platform, Preference, Subscriber
from devices.segments import device_platforms

DECISIONS = 10
"""How many of the newest decisions about the subscriber are shown."""
LOOKED_THROUGH = 200
"""Of how many of the newest decisions that may be about others it is found out whether they are about them."""


def compose(
    application: Application,
    subscriber: Subscriber,
    campaign: Campaign | None = None,
    *,
    run: Run | None = None,
) -> dict[str, Any]:
    """Return what is known of one subscriber and one campaign (its newest run) or one run, step by step.

    `answer` says it in sentences. `audience` is evaluated now, not when a run was launched, and says
    so. `decisions` are those of the campaign's rules about events that name the subscriber, whether
    as subject, by an expression or with the whole audience. Instants are RFC 3339.
    """
    decisions = _decisions(application, subscriber, campaign, run)
    found = _newest_run(application, subscriber, campaign, decisions, run)
    audience = _audience(application, subscriber, campaign, found)
    devices = {device["device"]: device["on"] for device in audience["devices"]}
    told: dict[str, Any] = {
        "subscriber": subscriber.external_id,
        "campaign": None
        if campaign is None
        else {"uid": str(campaign.uid), "name": campaign.name, "state": campaign.state},
        "audience": audience,
        "decisions": [_decision(decision) for decision in decisions[:DECISIONS]],
        "run": None if found is None else _run(found, subscriber),
        **_of_run(subscriber, found, devices),
    }
    return {**told, "answer": answer(told)}


# -- decisions


def _decisions(
    application: Application, subscriber: Subscriber, campaign: Campaign | None, run: Run | None
) -> list[Decision]:
    about = Decision.objects.filter(event__application=application)
    about = about.filter(run=run.uid) if campaign is None and run else about.filter(rule__campaign=campaign)
    others = about.exclude(rule__recipients=Rule.Recipients.SUBJECT).order_by("-id").values("pk")
    chosen = about.filter(
        Q(event__subject=subscriber.external_id) | Q(pk__in=Subquery(others[:LOOKED_THROUGH]))
    )
    rows = chosen.select_related("event", "rule").order_by("-id")[: LOOKED_THROUGH + DECISIONS]
    return [decision for decision in rows if _names(decision, subscriber)]


def _names(decision: Decision, subscriber: Subscriber) -> bool:
    """Return whether a decision is about the subscriber; an expression is evaluated anew, as it stands now."""
    rule = decision.rule
    if rule is None or rule.recipients == Rule.Recipients.SUBJECT:
        return decision.event.subject == subscriber.external_id
    if rule.recipients == Rule.Recipients.AUDIENCE:
        return decision.forwarded or decision.event.subject == subscriber.external_id
    try:
        listed = compile_expression(rule.recipient_ids).evaluate({"event": facts(decision.event)})
    except (RuleError, EvaluationError):
        return decision.event.subject == subscriber.external_id
    return isinstance(listed, list) and subscriber.external_id in {str(one) for one in listed}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "event": str(decision.event.uid),
        "type": decision.event.type,
        "rule": decision.rule.name if decision.rule else None,
        "forwarded": decision.forwarded,
        "reason": decision.reason,
        "sentence": reasons.sentence(decision.reason),
        "detail": said(decision.detail),
        "run": str(decision.run) if decision.run else None,
        "at": _instant(decision.decided_at),
    }


# -- the run


def _newest_run(
    application: Application,
    subscriber: Subscriber,
    campaign: Campaign | None,
    decisions: list[Decision],
    run: Run | None,
) -> Run | None:
    """Return the run in question with `held` and the `cursor` of the shard that the subscriber is in."""
    if run is not None:
        wanted = Q(pk=run.pk)
    else:
        assert campaign is not None
        wanted = Q(origin__startswith=f"campaign:{campaign.uid}:")
        wanted |= Q(uid__in={decision.run for decision in decisions if decision.run})
    shard = Shard.objects.filter(run=OuterRef("pk"), last__gte=subscriber.pk).order_by("last")
    found = Run.objects.filter(wanted, application=application).select_related("category")
    return (
        found.annotate(held=held(), cursor=Subquery(shard.values("cursor")[:1]))
        .order_by("-created_at")
        .first()
    )


def _run(run: Any, subscriber: Subscriber) -> dict[str, Any]:
    if run.kind != Run.Kind.AUDIENCE:
        reaches = None
    elif run.cursor is None:
        reaches = "after"
    else:
        reaches = "reached" if run.cursor >= subscriber.pk else "later"
    return {
        "uid": str(run.uid),
        "title": str(run),
        "kind": run.kind,
        "state": run.state,
        "reason": run.because,
        "recalled": run.recalled_at is not None,
        "held": run.held,
        "reaches": reaches,
        "created_at": run.created_at.isoformat(),
    }


# -- the audience, now


def _audience(
    application: Application, subscriber: Subscriber, campaign: Campaign | None, run: Run | None
) -> dict[str, Any]:
    """Ask the segment about the subscriber and read their choice and their devices, in one query."""
    predicate, platforms, category = _asked(campaign, run)
    question = Question(predicate)
    choice = Preference.objects.filter(subscriber=OuterRef("pk"), category=category).values("allowed")[:1]
    rows = list(
        Subscriber.objects.filter(pk=subscriber.pk)
        .annotate(**question.columns, choice=Subquery(choice))
        .order_by("devices__id")
        .values(
            *question.columns,
            "consent",
            "choice",
            device=F("devices__uid"),
            platform=F("devices__platform"),
            provider=F("devices__provider"),
            device_state=F("devices__state"),
            retired_reason=F("devices__retired_reason"),
        )
    )
    found = question.read(rows[0], subscriber) if rows else Answer(False, [], [])
    return {
        "member": found.member,
        "segment": campaign.segment.name if campaign is not None and campaign.segment else None,
        "conditions": [
            {"condition": leaf.condition, "met": leaf.met, "found": leaf.found} for leaf in found.leaves
        ],
        "failing": [
            {"condition": leaf.condition, "found": leaf.found, "sentence": leaf.sentence}
            for leaf in found.failing
        ],
        "consent": bool(rows and rows[0]["consent"]),
        "category": category.key if category else "",
        "opt_in": bool(category and category.opt_in),
        "allowed": rows[0]["choice"] if rows else None,
        "platforms": sorted(platforms),
        "devices": [_device(row, platforms) for row in rows if row["device"] is not None],
        "evaluated_at": datetime.now(UTC).isoformat(),
    }


def _asked(campaign: Campaign | None, run: Run | None) -> tuple[Any, set[str], Category | None]:
    """Return the predicate, the platforms and the category: the run's, frozen at launch, else the campaign's."""
    if run is not None:
        frozen = from_json(run.snapshot)
        predicate, platforms, category = frozen.predicate, set(frozen.platforms), run.category
    else:
        assert campaign is not None
        predicate = campaign.segment.whole if campaign.segment else None
        platforms, category = set(), campaign.category
    return (
        predicate,
        (platforms or set(Platform.values)) & (device_platforms(predicate) or set(Platform.values)),
        category,
    )


def _device(row: dict[str, Any], platforms: set[str]) -> dict[str, Any]:
    active = row["device_state"] == "active"
    return {
        "device": str(row["device"]),
        "on": f"{Platform(row['platform']).label} {str(row['device'])[:8]}",
        "platform": row["platform"],
        "provider": row["provider"],
        "state": row["device_state"],
        "retired_reason": row["retired_reason"],
        "retired_because": _because(row["retired_reason"]),
        "meant": active and row["platform"] in platforms,
    }


def _because(reason: str) -> str:
    return str(dict(Device.Retired.choices).get(reason, reason))


# -- policy, outcomes, receipts


def _of_run(subscriber: Subscriber, run: Run | None, devices: dict[str, str]) -> dict[str, Any]:
    if run is None:
        return {"stopped": [], "outcomes": [], "receipts": []}
    stopped = Stopped.objects.filter(run=run, subscriber_id=subscriber.pk).order_by("-pk")[:DECISIONS]
    outcomes = log_store().outcomes([(subscriber.pk, subscriber.uid)], run.uid)
    notifications = {row.notification for row in outcomes}
    receipts = log_store().receipts(subscriber.uid, notifications) if notifications else []
    return {
        "stopped": [
            {"reason": row.reason, "sentence": stopped_sentence(row.reason, row.detail), "detail": row.detail}
            for row in stopped
        ],
        "outcomes": [
            {
                **_of_message(row, devices),
                "outcome": row.outcome,
                "reason": row.reason,
                "sentence": outcome_sentence(row.reason),
            }
            for row in _in_order(outcomes)
        ],
        "receipts": [{**_of_message(row, devices), "kind": row.kind} for row in _in_order(receipts)],
    }


def _of_message(row: OutcomeRow | ReceiptRow, devices: dict[str, str]) -> dict[str, Any]:
    device = str(row.device)
    return {
        "notification": str(row.notification),
        "device": device,
        "on": devices.get(device, _("Device %(id)s") % {"id": device[:8]}),
        "at": _instant(row.at),
    }


def _in_order(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: (row.at, UUID(str(row.device))))


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
