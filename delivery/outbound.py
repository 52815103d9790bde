"""From a claimed parcel to outcomes: who may still be told, the sender's answers, what is tried again.

The sender is called without a transaction; then the outcomes are written, then one transaction
closes the parcel with its counts and makes the parcel of what must be tried again.
"""

import random
import time
from collections import Counter
from uuid import UUID

import msgspec
import structlog
from django.db import connection, transaction

from delivery import ages, bell, claims, dbclock, gates, sockets
from delivery.credentials import MissingCredentialError, credential_for, sender_for
from delivery.halting import Watch
from delivery.log.store import OutcomeRow, log_store
from delivery.models import Parcel, Run
from delivery.outgoing import Outgoing, decode, encode
from delivery.senders.contract import NOT_STARTED, Envelope, Message, Result, Verdict
from devices import retirement
from devices.models import Provider

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
BACKOFF_BASE = 2.0
BACKOFF_CAP = 300.0
RENEW_EVERY = 3.0
PARCEL_SECONDS = 60.0
"""A parcel that takes longer is cut short; the rest of its messages is tried again."""
WIDEST_FENCE = 1_000


class Ledger(msgspec.Struct):
    """What became of a parcel's messages by index; an index that is in none of them waits."""

    ends: dict[int, tuple[str, str, str]] = {}
    """index → outcome, reason, the provider's id"""
    again: dict[int, float] = {}
    """index → not before (epoch seconds)"""
    dead: list[tuple[int, float | None]] = []
    """device → since when its token is dead, where the provider says"""

    def end(self, index: int, outcome: str, reason: str, provider_id: str = "") -> None:
        self.ends[index] = (outcome, reason, provider_id)


def work_parcel(parcel: Parcel) -> None:
    """Send one claimed parcel; raises `claims.LeaseLostError` when it is no longer ours."""
    run = parcel.run
    outgoing = decode(bytes(parcel.body or b"\x90"))
    ledger = Ledger()
    now = dbclock.now()
    going = _still_wanted(run, outgoing, ledger, now)
    if going:
        part = outgoing.only(going)
        if parcel.provider == Provider.SOCKET:
            written = sockets.send(parcel, part)
            for index, (outcome, reason) in zip(going, written, strict=True):
                ledger.end(index, outcome, reason)
        else:
            _send(parcel, part, going, ledger)
    _write(parcel, run, outgoing, ledger)


def _still_wanted(run: Run, outgoing: Outgoing, ledger: Ledger, now: float) -> list[int]:
    """End the messages that are past their time or unwanted by now; return the indexes of the others."""
    run.refresh_from_db(fields=["state", "recalled_at"])
    if run.recalled_at is not None or run.state == Run.State.CANCELLED:
        reason = "recalled" if run.recalled_at else "cancelled"
        for index in range(outgoing.size):
            ledger.end(index, "cancelled", reason)
        return []
    gone = _unwanted(run, outgoing)
    going = []
    for index, target in enumerate(outgoing.targets):
        if target.expires_at is not None and target.expires_at <= now:
            ledger.end(index, "expired", "expired")
        elif target.device in gone:
            ledger.end(index, "cancelled", gone[target.device])
        else:
            going.append(index)
    return going


def _unwanted(run: Run, outgoing: Outgoing) -> dict[int, str]:
    """Return the devices that may no longer be told, with the reason: one query for the whole parcel."""
    ids = [target.device for target in outgoing.targets]
    marks = ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.id, d.state, s.consent, p.allowed FROM devices_device d "
            "JOIN devices_subscriber s ON s.id = d.subscriber_id "
            "LEFT JOIN devices_preference p ON p.subscriber_id = s.id AND p.category_id = %s "
            f"WHERE d.id IN ({marks})",
            [run.category_id, *ids],
        )
        rows = cursor.fetchall()
    found = {device for device, *_ in rows}
    gone = {device: "device_gone" for device in ids if device not in found}
    for device, state, consent, allowed in rows:
        if state != "active":
            gone[device] = "device_gone"
        elif not consent or allowed is False or allowed == 0:
            gone[device] = "opted_out"
    return gone


def _send(parcel: Parcel, part: Outgoing, going: list[int], ledger: Ledger) -> None:
    try:
        credential = credential_for(parcel.application_id, parcel.provider)
    except MissingCredentialError as error:
        gates.shut(parcel.application_id, parcel.provider, str(error))
        ledger.again = dict.fromkeys(going, 0.0)
        return
    expiries = [target.expires_at for target in part.targets if target.expires_at is not None]
    envelope = Envelope(
        run=str(parcel.run.uid),
        lane=parcel.lane,
        expires_at=min(expiries, default=None),
        contents=part.contents,
        messages=[
            Message(
                device=target.device,
                subscriber=target.subscriber,
                token=target.token,
                notification=str(UUID(bytes=target.notification)),
                content=target.content,
                sandbox=target.sandbox,
            )
            for target in part.targets
        ],
        tag=parcel.run.snapshot.get("tag", ""),
    )
    renewed = time.monotonic()
    slowed_until = 0.0
    deadline = renewed + PARCEL_SECONDS
    watch = Watch(parcel)
    unstarted = []
    for result in sender_for(parcel.provider).send(
        envelope, credential, deadline=deadline, go_on=watch.go_on
    ):
        if watch.word and result.reason == NOT_STARTED:
            unstarted.append(going[result.index])
            continue
        slowed_until = max(slowed_until, _account(parcel, part, going[result.index], result, ledger))
        if time.monotonic() - renewed > RENEW_EVERY:
            claims.renew(parcel)
            renewed = time.monotonic()
    if slowed_until:
        gates.slow(
            parcel.application_id, parcel.provider, until=slowed_until, reason="the provider asks to wait"
        )
    if watch.word in ("cancelled", "recalled"):
        for index in [*unstarted, *ledger.again]:
            ledger.end(index, "cancelled", watch.word)
        ledger.again.clear()
    else:
        ledger.again.update(dict.fromkeys(unstarted, 0.0))


def _account(parcel: Parcel, part: Outgoing, index: int, result: Result, ledger: Ledger) -> float:
    """Enter one result; return until when the gate is to be slowed, 0 for not at all."""
    if result.verdict is Verdict.SENT:
        ledger.end(index, "sent", "accepted", result.provider_id)
    elif result.verdict is Verdict.DEAD:
        ledger.end(index, "failed", result.reason)
        ledger.dead.append((part.targets[result.index].device, result.dead_since))
    elif result.verdict is Verdict.FAILED:
        ledger.end(index, "failed", result.reason)
    elif result.verdict is Verdict.SHUT:
        if not any(due == 0.0 for due in ledger.again.values()):
            gates.shut(
                parcel.application_id,
                parcel.provider,
                f"the provider refuses the credentials: {result.reason}",
            )
        ledger.again[index] = 0.0
    else:
        due = time.time()
        wait = result.retry_after if result.retry_after is not None else backoff(parcel.attempt)
        ledger.again[index] = due + wait
        if result.verdict is Verdict.SLOW:
            return due + wait
    return 0.0


def backoff(attempt: int) -> float:
    """Return a random wait in seconds before the next attempt (full jitter, capped)."""
    return random.uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * 2**attempt))


def _write(parcel: Parcel, run: Run, outgoing: Outgoing, ledger: Ledger) -> None:
    """Retire dead tokens, write the outcomes, close the parcel and make the one of what is tried again."""
    last_attempt = parcel.attempt >= MAX_ATTEMPTS
    for index, due in list(ledger.again.items()):
        expires_at = outgoing.targets[index].expires_at
        if expires_at is not None and due >= expires_at:
            ledger.end(index, "expired", "expired")
        elif last_attempt and due:
            ledger.end(index, "failed", "gave_up")
        else:
            continue
        del ledger.again[index]
    if ledger.dead:
        retirement.retire(dict(ledger.dead), tokens={t.device: t.token for t in outgoing.targets})
    at = time.time()
    version = version_of(parcel)
    log_store().write_outcomes(
        [
            OutcomeRow(
                UUID(bytes=target.subscriber_uid),
                UUID(bytes=target.notification),
                UUID(bytes=target.device_uid),
                run.uid,
                outcome,
                reason[:64],
                provider_id[:255],
                version,
                at,
            )
            for index, (outcome, reason, provider_id) in ledger.ends.items()
            for target in (outgoing.targets[index],)
        ]
    )
    counts = Counter(outcome for outcome, _, _ in ledger.ends.values())
    reasons = Counter(reason for outcome, reason, _ in ledger.ends.values() if outcome != "sent")
    with transaction.atomic():
        claims.close(
            parcel,
            **{outcome: counts[outcome] for outcome in ("sent", "stored", "expired", "cancelled", "failed")},
            retried=len(ledger.again),
            reasons=dict(reasons),
        )
        if ledger.again:
            _again(parcel, outgoing, ledger)
    sent = Counter(outgoing.targets[index].since for index, end in ledger.ends.items() if end[0] == "sent")
    ages.record(parcel.application_id, parcel.lane, sent, now=at)
    log.info("parcel.closed", run=str(run.uid), parcel=parcel.pk, provider=parcel.provider, **counts)


def version_of(parcel: Parcel) -> int:
    """Return the version of the outcomes that a claim of a parcel writes: of two the later stands."""
    return parcel.attempt * WIDEST_FENCE + min(parcel.fence, WIDEST_FENCE - 1)


def _again(parcel: Parcel, outgoing: Outgoing, ledger: Ledger) -> None:
    """Make the parcel of the rest; what a shut gate holds back does not use up an attempt."""
    rest = outgoing.only(sorted(ledger.again))
    now = dbclock.now()
    held = not any(ledger.again.values())
    Parcel.objects.create(
        run_id=parcel.run_id,
        page_id=parcel.page_id,
        application_id=parcel.application_id,
        lane=parcel.lane,
        provider=parcel.provider,
        attempt=parcel.attempt + (0 if held else 1),
        due_at=max(now, *ledger.again.values()),
        expires_at=rest.last_expiry(),
        body=encode(rest),
        size=rest.size,
        created_at=now,
    )
    transaction.on_commit(lambda: bell.ring(parcel.provider, parcel.lane))
