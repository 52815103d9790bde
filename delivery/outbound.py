"""From a claimed parcel to outcomes: who may still be told, the sender's answers, what is tried again.

The sender is called without a transaction; then the outcomes are written, then one transaction
closes the parcel with its counts and makes the parcels of what must be tried again.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from uuid import UUID

import structlog
from django.db import transaction

from delivery import ages, bell, caps, claims, dbclock, pieces, pushing, retrying, silence, sockets
from delivery.ledger import Ledger
from delivery.log.store import NewOutcome, log_store
from delivery.models import Parcel, Run
from delivery.outgoing import Outgoing, Target, decode, encode
from delivery.thinking import overriding
from devices import retirement
from devices.models import Provider
from devices.statements import fetch, listed

log = structlog.get_logger(__name__)

WIDEST_FENCE = 1_000


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
            _write_to_sockets(parcel, part, going, ledger, now)
        else:
            pushing.push(parcel, part, going, ledger)
    _write(parcel, run, outgoing, ledger, asked_at=now)


def _still_wanted(run: Run, outgoing: Outgoing, ledger: Ledger, now: float) -> list[int]:
    """End the messages that are past their time or unwanted by now; return the indexes of the others."""
    stopped, gone = _unwanted(run, outgoing, past_choice=overriding(run))
    if stopped:
        for index in range(outgoing.size):
            ledger.end(index, "cancelled", stopped)
        return []
    heard = {}
    if outgoing.silence:
        heard = silence.heard(outgoing, across=bool(run.snapshot.get("silence_across_devices")))
    elif not gone and not any(
        target.expires_at is not None and target.expires_at <= now for target in outgoing.targets
    ):
        return list(range(outgoing.size))
    going = []
    for index, target in enumerate(outgoing.targets):
        if index in heard:
            ledger.end(index, *heard[index])
        elif target.expires_at is not None and target.expires_at <= now:
            if outgoing.silence == silence.WRITTEN:
                ledger.end(index, "sent", "written")
            else:
                ledger.end(index, "expired", _why_expired(target))
        elif target.device in gone:
            ledger.end(index, "cancelled", gone[target.device])
        else:
            going.append(index)
    return going


def _unwanted(run: Run, outgoing: Outgoing, *, past_choice: bool) -> tuple[str, dict[int, str]]:
    """Return why nobody may be told any more (empty: some may), and the devices that may not, with the reason.

    One query for the whole parcel. With `past_choice` what the person chose for the category does not count.
    """
    asked, values = listed("asked", [target.device for target in outgoing.targets])
    # the run's row, and beside it only the few devices that may not
    rows = fetch(
        "SELECT run.state, run.recalled_at, gone.key, gone.state, gone.consent FROM delivery_run run"
        f" LEFT JOIN (SELECT asked.key, d.state, s.consent FROM {asked}"
        " LEFT JOIN devices_device d ON d.id = asked.key"
        " LEFT JOIN devices_subscriber s ON s.id = d.subscriber_id"
        " LEFT JOIN devices_preference p ON p.subscriber_id = s.id AND p.category_id = %s"
        " WHERE d.id IS NULL OR d.state <> 'active' OR NOT s.consent OR (NOT %s AND NOT p.allowed)"
        ") AS gone ON TRUE WHERE run.id = %s",
        [*values, run.category_id, past_choice, run.pk],
    )
    state, recalled_at = rows[0][:2]
    stopped = "recalled" if recalled_at else "cancelled" if state == Run.State.CANCELLED else ""
    return stopped, {
        device: "opted_out" if active == "active" else "device_gone"
        for _, _, device, active, _ in rows
        if device is not None
    }


def _why_expired(target: Target) -> str:
    return "quiet_hours" if target.quiet else "expired"


def _write_to_sockets(parcel: Parcel, part: Outgoing, going: list[int], ledger: Ledger, now: float) -> None:
    """Write to the nodes; a phone's message goes on to its provider, to be pushed if nothing is heard."""
    for index, target, (outcome, reason) in zip(going, part.targets, sockets.send(parcel, part), strict=True):
        wait = 0.0 if reason == "offline" else silence.wait(parcel.lane)
        too_late = target.expires_at is not None and target.expires_at <= now + wait
        if not target.then or (too_late and outcome == "sent"):
            ledger.end(index, outcome, reason)
        else:
            known = silence.WRITTEN if outcome == "sent" else silence.ASKED
            ledger.onward[index] = (target.then, known, 0.0 if too_late else wait)


def _write(parcel: Parcel, run: Run, outgoing: Outgoing, ledger: Ledger, *, asked_at: float) -> None:
    """Retire dead tokens, write the outcomes, close the parcel and make those of what is tried again."""
    now = dbclock.now()
    rest = _rest(parcel, outgoing, ledger, now)
    if ledger.dead:
        retirement.retire(
            {outgoing.targets[index].device: since for index, since in ledger.dead.items()},
            tokens={target.device: target.token for target in outgoing.targets},
            asked_at=asked_at,
        )
    at = time.time()
    targets = outgoing.targets
    rows = []
    for index, (outcome, reason, provider_id) in ledger.ends.items():
        target = targets[index]
        rows.append(
            NewOutcome(
                target.subscriber,
                target.subscriber_uid,
                target.notification,
                target.device_uid,
                outcome,
                reason[:64],
                provider_id[:255],
            )
        )
    log_store().write_outcomes(rows, run=run.uid, version=version_of(parcel), at=at)
    _release(run, outgoing, ledger)
    on_platforms = Counter((targets[index].platform, end[0]) for index, end in ledger.ends.items())
    counts: Counter[str] = Counter()
    platforms: dict[str, dict[str, int]] = {}
    for (platform, outcome), count in on_platforms.items():
        counts[outcome] += count
        platforms.setdefault(platform, {})[outcome] = count
    reasons = Counter(reason for outcome, reason, _ in ledger.ends.values() if outcome != "sent")
    # to close it alone is one statement, which needs no transaction
    with transaction.atomic() if rest else nullcontext():
        claims.close(
            parcel,
            **{outcome: counts[outcome] for outcome in ("sent", "stored", "expired", "cancelled", "failed")},
            retried=sum(part.size for _, _, part in rest),
            reasons=dict(reasons),
            platforms=platforms,
        )
        _hand_on(parcel, rest, now)
    sent = Counter(outgoing.targets[index].since for index, end in ledger.ends.items() if end[0] == "sent")
    ages.record(parcel.application_id, parcel.lane, sent, now=at)
    log.debug("parcel.closed", run=str(run.uid), parcel=parcel.pk, provider=parcel.provider, **counts)


def version_of(parcel: Parcel) -> int:
    """Return the version of the outcomes that a claim of a parcel writes: of two the later stands."""
    return parcel.attempt * WIDEST_FENCE + min(parcel.fence, WIDEST_FENCE - 1)


UNTOLD = {"failed", "expired", "cancelled"}


def _release(run: Run, outgoing: Outgoing, ledger: Ledger) -> None:
    """Give back the places under frequency caps of notifications that reached none of their devices."""
    if not caps.of_run(run):
        return
    untold = [outgoing.targets[index] for index, end in ledger.ends.items() if end[0] in UNTOLD]
    gone = [(target.subscriber_uid, target.notification) for target in untold if target.of == 1]
    gone += _told_nobody(run, [target for target in untold if target.of > 1])
    caps.RedisCaps(run.application_id, run.application.caps).release(gone)


def _told_nobody(run: Run, targets: Sequence[Target]) -> list[tuple[bytes, bytes]]:
    """Return the (subscriber, notification) of which every message has ended without telling anybody.

    Outcomes are written before they are read, so of two parcels the later sees the other's.
    """
    if not targets:
        return []
    ended: dict[bytes, list[str]] = {}
    people = {(target.subscriber, UUID(bytes=target.subscriber_uid)) for target in targets}
    for row in log_store().outcomes(list(people), run.uid):
        ended.setdefault(row.notification.bytes, []).append(row.outcome)
    return [
        (target.subscriber_uid, target.notification)
        for target in targets
        if len(ends := ended.get(target.notification, [])) == target.of and set(ends) <= UNTOLD
    ]


Rest = list[tuple[str, retrying.Again, Outgoing]]


def _rest(parcel: Parcel, outgoing: Outgoing, ledger: Ledger, now: float) -> Rest:
    """Return what goes into new parcels, by provider; end what has no attempt or no time left."""
    draw = random.random()
    dues: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
    for index, (provider, known, wait) in ledger.onward.items():
        dues.setdefault((provider, known), []).append((index, parcel.attempt, now + wait))
    mine = dues.setdefault((parcel.provider, outgoing.silence), [])
    for index, retry_after in ledger.again.items():
        target = outgoing.targets[index]
        due_at = retrying.due(
            parcel.attempt, now=now, draw=draw, retry_after=retry_after, expires_at=target.expires_at
        )
        if parcel.attempt >= retrying.MAX_ATTEMPTS:
            ledger.end(index, "failed", "gave_up")
        elif due_at is None:
            ledger.end(index, "expired", _why_expired(target))
        else:
            mine.append((index, parcel.attempt + 1, due_at))
    for index, wait in ledger.held.items():
        target = outgoing.targets[index]
        if target.expires_at is not None and wait and now + wait >= target.expires_at:
            ledger.end(index, "expired", _why_expired(target))
        else:
            mine.append((index, parcel.attempt, now + wait))
    rest: Rest = []
    for (provider, known), some in dues.items():
        for again in retrying.grouped(some):
            part = outgoing.only(again.indexes)
            part.silence = known
            rest.append((provider, again, part))
    return rest


def _hand_on(parcel: Parcel, rest: Rest, now: float) -> None:
    """Make the parcels of the rest, inside the caller's transaction; those that are due are rung for."""
    pieces.make(
        Parcel,
        [
            {
                "run_id": parcel.run_id,
                "page_id": parcel.page_id,
                "application_id": parcel.application_id,
                "lane": parcel.lane,
                "provider": provider,
                "attempt": again.attempt,
                "due_at": dbclock.due(again.due_at, now=now),
                "expires_at": part.last_expiry(),
                "body": encode(part),
                "size": part.size,
                "created_at": now,
            }
            for provider, again, part in rest
        ],
    )
    for provider in {provider for provider, again, _ in rest if again.due_at <= now}:
        transaction.on_commit(partial(bell.ring, provider, parcel.lane))
