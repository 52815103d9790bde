"""Alerts: incidents are found, told once to whoever has an alert rule, and told once more when they are over.

What is to be told stands in the database as notes; a worker sends them, and tries again for half an hour.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any

import msgspec
import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override
from redis.exceptions import RedisError

from delivery import ages, bell, dbclock, posting, remarks
from delivery.models import AlertNote, AlertRule, Gate, Incident, Run
from delivery.models.alert import KINDS, sentence_of
from devices.statements import fetch

log = structlog.get_logger(__name__)

LEASE = 60.0
TRIES = 8
WAIT = 15.0
"""Seconds before the second try; each wait is twice the one before."""
QUIET = {"lane_late": 120.0}
"""Seconds for which something must not be found any more before it is over, by kind: what comes and goes is one."""
LATE_SHARE, LATE_COUNT = 0.9, 100
"""A lane is over its objective too when in this hour less than this share of so many messages was in time."""


class Condition(msgspec.Struct, frozen=True):
    """Something that needs a person, now: `key` tells it from others of its kind, `path` is where to look.

    `values` are what stands in the sentence of its kind (`delivery.models.alert.SENTENCES`).
    """

    application: int
    kind: str
    key: str
    values: dict[str, Any]
    path: str


def look(now: datetime, more: Iterable[Condition] = ()) -> int:
    """Find what needs a person in the applications that have alert rules, and note who is to be told; return how many.

    `more` is what other rooms found.
    """
    rules = list(AlertRule.objects.filter(enabled=True).defer("secret"))
    if not rules:
        return 0
    watched = {rule.application_id for rule in rules}
    found = {
        (one.application, one.kind, one.key): one
        for one in [*conditions(watched, now), *more]
        if one.application in watched
    }
    open_ones = {
        (one.application_id, one.kind, one.key): one
        for one in Incident.objects.filter(application__in=watched, resolved_at=None)
    }
    changed = 0
    Incident.objects.filter(pk__in=[open_ones[key].pk for key in found if key in open_ones]).update(
        seen_at=now
    )
    for key, condition in found.items():
        if key not in open_ones:
            changed += _begin(condition, rules, now)
    for key, incident in open_ones.items():
        if key not in found and incident.seen_at <= now - timedelta(seconds=QUIET.get(incident.kind, 0.0)):
            changed += _end(incident, now)
    return changed


def conditions(applications: set[int], now: datetime) -> list[Condition]:
    """Return what needs a person in some applications: shut gates, runs that a guard paused, lanes that are late."""
    gates = Gate.objects.filter(application__in=applications, state=Gate.State.SHUT)
    found = [
        Condition(
            gate.application_id,
            "gate_shut",
            gate.provider,
            {"provider": gate.provider, "reason": gate.reason},
            f"/admin/delivery/gate/{gate.pk}/change/",
        )
        for gate in gates
    ]
    halted = Run.objects.filter(
        application__in=applications, state=Run.State.PAUSED, brake=Run.Brake.TRIPPED
    ).defer("snapshot")
    found += [
        Condition(
            run.application_id,
            "run_paused",
            str(run.uid),
            {"run": run.title, "reason": run.reason},
            f"/admin/delivery/run/{run.pk}/change/",
        )
        for run in halted
    ]
    return [*found, *_late(applications, now)]


_OVERDUE = """
SELECT piece.application_id, piece.lane, MIN(piece.due_at)
FROM {table} AS piece JOIN delivery_run AS run ON run.id = piece.run_id
WHERE run.state = 'running' AND piece.state IN ('waiting', 'claimed') AND piece.due_at < %s
AND NOT EXISTS (SELECT 1 FROM delivery_hold AS hold
                WHERE hold.application_id = piece.application_id AND (hold.lane = '' OR hold.lane = piece.lane))
{more}
GROUP BY piece.application_id, piece.lane
"""
_PAST_GATES = """
AND NOT EXISTS (SELECT 1 FROM delivery_gate AS gate
                WHERE gate.application_id = piece.application_id AND gate.provider = piece.provider
                AND gate.state <> 'open')
"""


def _late(applications: set[int], now: datetime) -> list[Condition]:
    """Return the lanes that are over their objective: by what waits, or by this hour's ages."""
    instant, shortest = dbclock.now(), min(map(ages.objective, settings.AGE_OBJECTIVES))
    waits: dict[tuple[int, str], float] = {}
    for table, more in (("delivery_page", ""), ("delivery_parcel", _PAST_GATES)):
        for application, lane, oldest in fetch(_OVERDUE.format(table=table, more=more), [instant - shortest]):
            waits[(application, lane)] = max(waits.get((application, lane), 0.0), instant - oldest)
    late: dict[tuple[int, str], dict[str, Any]] = {
        key: {"wait": round(wait)}
        for key, wait in waits.items()
        if key[0] in applications and wait > ages.objective(key[1])
    }
    for application in applications:
        try:
            hour = ages.lately([application], now=now.timestamp(), hours=1)
        except RedisError:
            break  # what waits still tells
        for lane, histogram in hour.items():
            if histogram.count >= LATE_COUNT and (histogram.share or 0.0) < LATE_SHARE:
                late.setdefault(
                    (application, lane),
                    {"says": "lane_late_this_hour", "share": histogram.share, "count": histogram.count},
                )
    return [
        Condition(
            application,
            "lane_late",
            lane,
            {"lane": lane, "objective": ages.objective(lane), **values},
            "/admin/",
        )
        for (application, lane), values in late.items()
    ]


def _begin(condition: Condition, rules: Sequence[AlertRule], now: datetime) -> int:
    with override("en"):
        sentence = sentence_of(condition.kind, condition.values)
    with transaction.atomic():
        incident, made = Incident.objects.get_or_create(
            application_id=condition.application,
            kind=condition.kind,
            key=condition.key[:100],
            resolved_at=None,
            defaults={
                "sentence": sentence[:400],
                "values": condition.values,
                "path": condition.path[:200],
                "opened_at": now,
                "seen_at": now,
            },
        )
        if not made:
            return 0  # another clock was faster
        told = [
            rule
            for rule in rules
            if rule.application_id == incident.application_id and incident.kind in rule.kinds
        ]
        _tell(told, AlertNote.Says.OPENED, incident)
    log.warning("incident.opened", kind=incident.kind, key=incident.key, application=incident.application_id)
    return 1


def _end(incident: Incident, now: datetime) -> int:
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk, resolved_at=None).update(resolved_at=now):
            return 0  # another clock was faster
        told = AlertRule.objects.filter(
            notes__incident=incident, notes__says=AlertNote.Says.OPENED, enabled=True
        )
        _tell(list(told), AlertNote.Says.RESOLVED, incident)
    log.info("incident.resolved", kind=incident.kind, key=incident.key, application=incident.application_id)
    return 1


def _tell(rules: Sequence[AlertRule], says: str, incident: Incident | None) -> None:
    if not rules:
        return
    now = time.time()
    AlertNote.objects.bulk_create(
        [AlertNote(rule=rule, incident=incident, says=says, due_at=now) for rule in rules],
        ignore_conflicts=True,
    )
    transaction.on_commit(lambda: bell.ring("alert", "normal"))


def test(rule: AlertRule) -> None:
    """Send a rule's receivers a note that says it is a test."""
    _tell([rule], AlertNote.Says.TEST, None)


# -- sending


def waiting(now: float) -> bool:
    """Return whether a note is due."""
    return AlertNote.objects.filter(state=AlertNote.State.WAITING, due_at__lte=now).exists()


def send_one() -> bool:
    """Send one note that is due; return whether there was one."""
    now = time.time()
    due = AlertNote.objects.filter(state=AlertNote.State.WAITING, due_at__lte=now)
    for key, due_at in due.order_by("due_at").values_list("pk", "due_at")[:8]:
        # the losing branch: another worker has moved `due_at` on, and sends it
        taken = AlertNote.objects.filter(pk=key, state=AlertNote.State.WAITING, due_at=due_at).update(
            due_at=now + LEASE, tries=F("tries") + 1
        )
        if taken:
            _send(AlertNote.objects.select_related("rule__application", "incident").get(pk=key))
            return True
    return False


def _send(note: AlertNote) -> None:
    send = _post if note.rule.way == AlertRule.Way.WEBHOOK else _mail
    try:
        with override("en"):  # what is kept of an error
            send(note)
    except (posting.PostError, OSError, SMTPException) as error:
        given_up = note.tries >= TRIES or (isinstance(error, posting.PostError) and error.final)
        AlertNote.objects.filter(pk=note.pk).update(
            state=AlertNote.State.FAILED if given_up else AlertNote.State.WAITING,
            due_at=time.time() + WAIT * 2 ** min(note.tries - 1, 12),
            error=str(error)[:300],
        )
        log.warning("alert.not_sent", note=note.pk, tries=note.tries, given_up=given_up, error=str(error))
        return
    AlertNote.objects.filter(pk=note.pk).update(state=AlertNote.State.SENT, sent_at=timezone.now(), error="")


def link(incident: Incident) -> str:
    """Return the address of the page where an incident is looked at."""
    return (settings.PUBLIC_URL or f"http://127.0.0.1:{settings.PORT}") + incident.path


def document(note: AlertNote) -> dict[str, Any]:
    """Return what a webhook is told (docs/how-to/get-alerts.md)."""
    application, incident = note.rule.application, note.incident
    told: dict[str, Any] = {
        "type": f"alert.{note.says}",
        "timestamp": (note.created_at).isoformat(),
        "application": {"slug": application.slug, "name": application.name},
    }
    if incident is not None:
        told["incident"] = {
            "id": incident.pk,
            "kind": incident.kind,
            "sentence": incident.sentence,
            "values": incident.values,
            "url": link(incident),
            "opened_at": incident.opened_at.isoformat(),
            "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
        }
    return told


def signature(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a webhook's body, as Standard Webhooks 1.0 has it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{identity}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def _post(note: AlertNote) -> None:
    body = json.dumps(document(note), ensure_ascii=False).encode()
    identity, now = f"note_{note.pk}", int(time.time())
    posting.post(
        note.rule.url,
        body,
        {
            "Content-Type": "application/json",
            "Webhook-Id": identity,
            "Webhook-Timestamp": str(now),
            "Webhook-Signature": signature(note.rule.secret, identity, now, body),
        },
        private=settings.WEBHOOK_PRIVATE_HOSTS,
    )


def _mail(note: AlertNote) -> None:
    if not settings.EMAIL_SET:
        raise posting.PostError(_(remarks.NO_MAIL_SERVER), final=True)
    with override(note.rule.language):
        subject, lines = _letter(note)
    EmailMessage(
        subject=f"[{note.rule.application.name}] {subject}".replace("\n", " ")[:200],
        body="\n".join(lines),
        to=note.rule.emails.split(),
        headers={"Auto-Submitted": "auto-generated"},
    ).send()


def _letter(note: AlertNote) -> tuple[str, list[str]]:
    """Return the subject and the lines of a mail, in the language that is active."""
    incident = note.incident
    if incident is None:
        return _("A test"), [_("This is a test of the alert rule %(rule)s.") % {"rule": note.rule.name}]
    subject, over = str(KINDS[incident.kind]), note.says == AlertNote.Says.RESOLVED
    lines = [incident.said, "", _("Since %(at)s UTC.") % {"at": f"{incident.opened_at:%Y-%m-%d %H:%M}"}]
    if over:
        subject = _("Over: %(subject)s") % {"subject": subject}
    if over and incident.resolved_at:
        lines.append(_("Over since %(at)s UTC.") % {"at": f"{incident.resolved_at:%Y-%m-%d %H:%M}"})
    return subject, [*lines, "", link(incident)]
