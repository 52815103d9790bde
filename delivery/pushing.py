"""From wanted messages to a provider's answers: its quota, the sender, how fast, and when to stop.

Nothing here sleeps: what may not go now is entered as held, and goes into a new parcel.
"""

import random
import time
from collections import Counter

from delivery import allowance, brake, claims, credentials, device_quota, gates, remarks, retrying, runs
from delivery.credentials import MissingCredentialError, credential_for, sender_for
from delivery.halting import Watch
from delivery.ledger import Ledger
from delivery.models import Parcel, Run
from delivery.outgoing import Outgoing
from delivery.positions import text_of
from delivery.senders.contract import NOT_STARTED, Credential, Envelope, Message, Result, Verdict
from devices.models import Provider

RENEW_EVERY = 3.0
PARCEL_SECONDS = 60.0
"""A parcel that takes longer is cut short; the rest of its messages is tried again."""
ONE_DEVICE = frozenset({"device_quota_exceeded", "too_many_requests", "unrelated_key_id_in_token"})
"""Refusals for now that are about one device or connection and say nothing about the provider."""
WAVE_MESSAGES, WAVE_SHARE = 10, 0.1
"""So many refusals for now of a parcel, and this share of it, halve the streams."""
OUTAGE_SHARE = 0.5
"""From this share of refusals the provider is left alone for a while."""


def push(parcel: Parcel, part: Outgoing, going: list[int], ledger: Ledger) -> None:
    """Send as many of the messages as the provider's quota has room for; the rest waits for its turn.

    `going` are their indexes in the parcel, by which the ledger knows them.
    """
    _send(parcel, part, going, ledger)
    _spare_devices(parcel, parcel.run, ledger)


def _send(parcel: Parcel, part: Outgoing, going: list[int], ledger: Ledger) -> None:
    try:
        credential = credential_for(parcel.application_id, parcel.provider)
    except MissingCredentialError as error:
        gates.shut(parcel.application_id, parcel.provider, str(error))
        ledger.held = dict.fromkeys(going, 0.0)
        return
    going, part = _spare_busy_devices(parcel, part, going, ledger)
    if not going:
        return
    quota = allowance.quota_of(parcel.application_id, parcel.provider, credential.secret, credential.settings)
    allowed = allowance.take(parcel.application_id, parcel.provider, parcel.lane, len(going), quota)
    if allowed.messages < len(going):
        ledger.held |= dict.fromkeys(going[allowed.messages :], allowed.wait)
        gates.slow(
            parcel.application_id,
            parcel.provider,
            until=time.time() + allowed.wait,
            reason=remarks.QUOTA_USED_UP,
            lane=parcel.lane,
        )
        going = going[: allowed.messages]
        if not going:
            return
        part = part.only(list(range(allowed.messages)))
    expiries = [target.expires_at for target in part.targets if target.expires_at is not None]
    envelope = Envelope(
        run=str(parcel.run.uid),
        lane=parcel.lane,
        expires_at=min(expiries, default=None),
        contents=part.contents,
        messages=[
            Message(
                target.device,
                target.subscriber,
                target.token,
                text_of(target.notification),
                target.content,
                target.sandbox,
                target.expires_at,
                target.platform,
            )
            for target in part.targets
        ],
        tag=parcel.run.snapshot.get("tag", ""),
    )
    renewed = time.monotonic()
    deadline = renewed + PARCEL_SECONDS
    watch = Watch(parcel)
    results = sender_for(parcel.provider).send(
        envelope, credential, deadline=deadline, streams=allowed.streams, go_on=watch.go_on
    )
    for result in results:
        _account(parcel, going[result.index], result, ledger, credential)
        if time.monotonic() - renewed > RENEW_EVERY:
            claims.renew(parcel)
            renewed = time.monotonic()
    if watch.word in ("cancelled", "recalled"):
        for index in [*ledger.held, *ledger.again]:
            ledger.end(index, "cancelled", watch.word)
        ledger.held.clear()
        ledger.again.clear()
    allowance.give_back(allowed, ledger.uncounted)
    _pace(parcel, len(going), allowed, ledger)


def _spare_busy_devices(
    parcel: Parcel, part: Outgoing, going: list[int], ledger: Ledger
) -> tuple[list[int], Outgoing]:
    """Hold back what is for devices that FCM takes no more messages for now; return the rest."""
    if parcel.provider != Provider.FCM or parcel.run.kind == Run.Kind.AUDIENCE:
        return going, part
    counted = [at for at, target in enumerate(part.targets) if device_quota.is_counted(target)]
    late = device_quota.take(parcel.application_id, [part.targets[at].device for at in counted])
    if not late:
        return going, part
    waits = {counted[index]: wait for index, wait in late.items()}
    ledger.held |= {going[at]: wait for at, wait in waits.items()}
    rest = [at for at in range(len(going)) if at not in waits]
    return [going[at] for at in rest], part.only(rest)


def _account(parcel: Parcel, index: int, result: Result, ledger: Ledger, shown: Credential) -> None:
    """Enter one result."""
    if not result.left or result.verdict is Verdict.SLOW:
        ledger.uncounted += 1
    if result.verdict is Verdict.SENT:
        ledger.end(index, "sent", result.reason or "accepted", result.provider_id)
    elif result.verdict is Verdict.DEAD:
        ledger.end(index, "failed", result.reason)
        ledger.dead[index] = result.dead_since
    elif result.verdict is Verdict.FAILED:
        ledger.end(index, "failed", result.reason)
    elif result.verdict is Verdict.SHUT:
        if 0.0 not in ledger.held.values():
            credentials.refused(shown, parcel.provider, result.reason)
        ledger.held[index] = 0.0
    elif result.verdict is Verdict.SLOW:
        wait = result.retry_after or 0.0
        ledger.slowed = max(wait, ledger.slowed or 0.0)
        ledger.held[index] = wait
    elif not result.left or result.reason == NOT_STARTED:
        if result.reason != NOT_STARTED:
            ledger.unreachable = ledger.unreachable or result.reason
        ledger.held[index] = result.retry_after or 0.0
    else:
        ledger.refused += result.reason not in ONE_DEVICE
        ledger.again[index] = result.retry_after


def _pace(parcel: Parcel, started: int, allowed: allowance.Allowance, ledger: Ledger) -> None:
    """Tell everybody what the parcel has shown: grow or halve the streams, slow the gate, leave the provider alone."""
    where = (parcel.application_id, parcel.provider)
    many = ledger.refused >= max(WAVE_MESSAGES, WAVE_SHARE * started)
    if ledger.unreachable or ledger.slowed is not None or many:
        waves = allowance.came_in_waves(*where, allowed)
        rest = retrying.patience(waves, draw=random.random())
        if ledger.unreachable:
            reason = remarks.UNREACHABLE % {"code": ledger.unreachable}
            gates.slow(*where, until=time.time() + rest, reason=reason)
        elif many and ledger.refused >= OUTAGE_SHARE * started:
            gates.slow(*where, until=time.time() + rest, reason=remarks.REFUSES_MOST)
    elif not ledger.refused and not ledger.held:
        allowance.came_clean(*where, allowed, started)
    if ledger.slowed is not None:
        gates.slow(*where, until=time.time() + ledger.slowed, reason=remarks.ASKS_TO_WAIT)


def _spare_devices(parcel: Parcel, run: Run, ledger: Ledger) -> None:
    """Pause the run instead of retiring devices when refused tokens come in a wave; their messages wait."""
    suspects = [
        index
        for index, (ended, reason, _) in ledger.ends.items()
        if ended == "failed" and reason in remarks.SUSPECT
    ]
    if not suspects or run.brake == Run.Brake.OFF:
        return
    answered = sum(outcome in ("sent", "failed") for outcome, _, _ in ledger.ends.values())
    refused = Counter(ledger.ends[index][1] for index in suspects)
    if advice := brake.wave(parcel, answered=answered, refused=refused):
        runs.halt(run, advice)
        for index in suspects:
            del ledger.ends[index]
            ledger.dead.pop(index, None)
            ledger.held[index] = 0.0
