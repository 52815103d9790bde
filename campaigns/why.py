"""Why a subscriber got a campaign's notification or not, from six reads at most."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import Q

from campaigns import reasons
from campaigns.models import Campaign, Decision
from delivery.log.store import log_store
from delivery.models import Run, Stopped
from delivery.reasons import OUTCOMES, STOPPED
from devices import segments
from devices.models import Application, Subscriber

DECISIONS = 10
"""How many of the newest decisions about the subscriber are shown."""


def compose(application: Application, subscriber: Subscriber, campaign: Campaign) -> dict[str, Any]:
    """Return what is known of one subscriber and one campaign, step by step.

    `audience` is evaluated now, not when a run was launched, and says so. `decisions` are those of
    the campaign's rules about events whose subject is the subscriber. `run`, `stopped`, `outcomes`
    and `receipts` are of the newest run. Instants are RFC 3339.
    """
    decisions = list(
        Decision.objects.filter(
            rule__campaign=campaign, event__application=application, event__subject=subscriber.external_id
        )
        .select_related("event", "rule")
        .order_by("-id")[:DECISIONS]
    )
    forwarded = [decision.run for decision in decisions if decision.run]
    of_campaign = Q(origin__startswith=f"campaign:{campaign.uid}:") | Q(uid__in=forwarded)
    run = Run.objects.filter(of_campaign, application=application).order_by("-created_at").first()
    return {
        "subscriber": subscriber.external_id,
        "campaign": {"uid": str(campaign.uid), "name": campaign.name, "state": campaign.state},
        "audience": _audience(application, subscriber, campaign),
        "decisions": [_decision(decision) for decision in decisions],
        "run": None if run is None else _run(run),
        **_of_run(subscriber, run),
    }


def _audience(application: Application, subscriber: Subscriber, campaign: Campaign) -> dict[str, Any]:
    predicate = campaign.segment.predicate if campaign.segment else None
    member = segments.subscribers(application, predicate).filter(pk=subscriber.pk).exists()
    return {
        "member": member,
        "segment": campaign.segment.name if campaign.segment else None,
        "consent": subscriber.consent,
        "evaluated_at": datetime.now(UTC).isoformat(),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "event": str(decision.event.uid),
        "type": decision.event.type,
        "rule": decision.rule.name if decision.rule else None,
        "forwarded": decision.forwarded,
        "reason": decision.reason,
        "sentence": reasons.SENTENCES.get(decision.reason, ""),
        "detail": decision.detail,
        "run": str(decision.run) if decision.run else None,
        "at": _instant(decision.decided_at),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "uid": str(run.uid),
        "title": run.title,
        "state": run.state,
        "recalled": run.recalled_at is not None,
        "created_at": run.created_at.isoformat(),
    }


def _of_run(subscriber: Subscriber, run: Run | None) -> dict[str, Any]:
    if run is None:
        return {"stopped": [], "outcomes": [], "receipts": []}
    stopped = Stopped.objects.filter(run=run, subscriber_id=subscriber.pk)[:DECISIONS]
    outcomes = log_store().outcomes(subscriber.uid, run.uid)
    notifications = {row.notification for row in outcomes}
    receipts = log_store().receipts(subscriber.uid, notifications) if notifications else []
    return {
        "stopped": [
            {"reason": row.reason, "sentence": STOPPED.get(row.reason, ""), "detail": row.detail}
            for row in stopped
        ],
        "outcomes": [
            {
                "notification": str(row.notification),
                "device": str(row.device),
                "outcome": row.outcome,
                "reason": row.reason,
                "sentence": OUTCOMES.get(row.reason, ""),
                "at": _instant(row.at),
            }
            for row in outcomes
        ],
        "receipts": [
            {
                "notification": str(row.notification),
                "device": str(row.device),
                "kind": row.kind,
                "at": _instant(row.at),
            }
            for row in receipts
        ],
    }


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
