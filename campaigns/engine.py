"""The engine: claims a batch of events, decides each, and hands the forwarded ones to delivery.

Everything that can be thought out is thought out before the one transaction that writes the
decisions and the pages; its first statement closes the events and tells whether they are still
ours. The number of queries does not grow with the number of events (but for events that go to a
whole audience, each of which is a run).
"""

import secrets
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from uuid import UUID, uuid5

import msgspec
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from campaigns import delayed, reasons
from campaigns.deciding import Verdict, judge, told
from campaigns.models import Decision, Event
from campaigns.rulebook import Ready, Rulebook, rulebooks
from delivery import dbclock, goals, heard, remarks, runs
from delivery.draining import Step
from delivery.lanes import lower_of
from delivery.models import Run
from delivery.snapshot import Named
from devices import facts
from devices.statements import SKIP_LOCKED, among, among_texts, change, fetch, insert_objects, instances

log = structlog.get_logger(__name__)

ATTEMPTS = 5
"""Claims after which an event is closed with the reason `error`: it kills its workers."""
CAREFUL = 2
"""Claims without an end after which the oldest event is decided alone, so that it harms no other."""
PEOPLE_A_BATCH = 20_000
NAMES_A_QUERY = 20_000


class _ClaimLostError(Exception):
    """Others have claimed some of these events since: the lease was too short for the batch."""


class _Judged(msgspec.Struct):
    """An event with what its rules make of it; without a rule, none."""

    event: Event
    verdicts: list[tuple[Ready, Verdict]]
    ends: list[int] = []
    """rules whose waiting it ends for its subject"""
    fact: int | None = None
    """the kind of fact (primary key) that the event's subject gets, None when no segment asks for it"""


class _Decided(msgspec.Struct):
    """A decision as its row is to be."""

    event_id: int
    rule_id: int | None
    rule_version: int
    forwarded: bool
    reason: str
    detail: str
    recipients: int
    decided_at: float
    run: UUID | None = None


class _Batch(msgspec.Struct):
    """What one transaction is to write."""

    events: list[Event] = []
    decisions: list[_Decided] = []
    people: dict[tuple[str, str], list[Named]] = {}
    rules: dict[str, Ready] = {}
    launches: list[tuple[Ready, Event, str]] = []
    waits: list[tuple[delayed.Wait, _Decided]] = []
    ends: list[tuple[int, int, float]] = []
    facts: Counter[tuple[int, int]] = msgspec.field(default_factory=Counter)


BATCH = 500


def step(lane: str) -> Step:
    """Decide a batch of a lane's events."""
    decided, all_of_them = _decide(lane, BATCH)
    if not decided:
        return Step.IDLE
    return Step.LAST if all_of_them else Step.MORE


def decide(lane: str, *, limit: int = BATCH) -> int:
    """Decide up to `limit` events of a lane; return how many were decided.

    Each gets one decision per rule of its type, or one with the reason `no_rule`. 0 also when
    another worker was faster or took the claim over.
    """
    return _decide(lane, limit)[0]


def _decide(lane: str, limit: int) -> tuple[int, bool]:
    """Return how many events were decided, and whether these were all there were."""
    claim, lease = secrets.token_hex(16), dbclock.now() + settings.LEASE_SECONDS
    events, all_of_them = _claim(lane, limit, claim, lease)
    if not events:
        return 0, True
    deadline = time.monotonic() + settings.LEASE_SECONDS / 2
    books = rulebooks({event.application_id for event in events})
    kinds = {application: facts.wanted(application) for application in books}
    judged: list[_Judged] = []
    recipients = 0
    for event in events:
        # what does not fit into half the lease, or is too much for one transaction, is left for the next claim
        if judged and (time.monotonic() > deadline or recipients > PEOPLE_A_BATCH):
            break
        one = _judge(event, books[event.application_id])
        if event.subject and (asked := kinds[event.application_id]):
            one.fact = asked.get(facts.event(event.type))
        judged.append(one)
        recipients += sum(len(verdict.external_ids or ()) for _, verdict in one.verdicts)
    batch = _batch(judged, _subscribers(judged))
    try:
        with transaction.atomic():
            _close(batch.events, claim)
            _release(events[len(batch.events) :], claim)
            _write(batch)
            goals.note(
                [
                    heard.Met(event.application_id, event.subject, event.type, event.received_at)
                    for event in batch.events
                    if event.subject
                ]
            )
    except _ClaimLostError:
        log.warning("events.claim_lost", lane=lane, events=len(events))
        return 0, True
    log.debug(
        "events.decided", lane=lane, events=len(batch.events), people=sum(map(len, batch.people.values()))
    )
    return len(batch.events), all_of_them and len(batch.events) == len(events)


_CLAIM = """
WITH oldest AS (
    SELECT id, attempts FROM campaigns_event WHERE lane = %s AND NOT decided AND lease_until < %s
    ORDER BY id LIMIT {limit}{unlocked}
)
UPDATE campaigns_event SET claim = %s, lease_until = %s, attempts = attempts + 1
WHERE id IN (SELECT id FROM oldest) AND (
    id = (SELECT min(id) FROM oldest) OR {careful} > (SELECT attempts FROM oldest ORDER BY id LIMIT 1)
)
RETURNING {{columns}}
"""


def _claim(lane: str, limit: int, claim: str, lease: float) -> tuple[list[Event], bool]:
    """Claim the oldest undecided events of a lane, in one statement; return them, and whether no others were free."""
    # of two workers at once the second passes over what the first has locked
    sql = _CLAIM.format(limit=limit, unlocked=SKIP_LOCKED, careful=CAREFUL)
    free = [lane, lease - settings.LEASE_SECONDS]
    ours = sorted(instances(Event, sql, [*free, claim, lease]), key=lambda event: event.pk)
    return ours, len(ours) < limit and not (ours and ours[0].attempts > CAREFUL)


def _judge(event: Event, rulebook: Rulebook) -> _Judged:
    book = rulebook.get(event.type, [])
    if event.attempts > ATTEMPTS:
        log.error("event.given_up", event_uid=str(event.uid), attempts=event.attempts)
        detail = reasons.WITHOUT_END % {"count": event.attempts - 1}
        return _Judged(event, [(rule, Verdict(reasons.ERROR, detail)) for rule in book])
    now = datetime.now(UTC)
    verdicts = []
    for rule in book:
        try:
            verdict = judge(event, rule, now)
        except Exception as error:  # a fault of ours in one event must not stop the others
            log.exception("event.not_judged", event_uid=str(event.uid), rule=str(rule.uid))
            verdict = Verdict(reasons.ERROR, f"{type(error).__name__}: {error}")
        verdicts.append((rule, verdict))
    return _Judged(event, verdicts, rulebook.ends.get(event.type, []) if event.subject else [])


def _subscribers(judged: list[_Judged]) -> dict[tuple[int, str], int]:
    """Return the primary keys of everybody the batch is for, by application and external id, mostly in one query."""
    wanted: dict[int, set[str]] = defaultdict(set)
    for one in judged:
        for _, verdict in one.verdicts:
            wanted[one.event.application_id].update(verdict.external_ids or ())
        if one.ends or one.fact is not None:
            wanted[one.event.application_id].add(one.event.subject)
    everybody = list(set().union(*wanted.values()))
    found = {}
    for start in range(0, len(everybody), NAMES_A_QUERY):
        names = everybody[start : start + NAMES_A_QUERY]
        theirs, keys = among("application_id", list(wanted))
        named, texts = among_texts("external_id", names)
        rows = fetch(
            f"SELECT application_id, external_id, id FROM devices_subscriber WHERE {theirs} AND {named}",
            [*keys, *texts],
        )
        found.update({(application, name): key for application, name, key in rows})
    return found


def _batch(judged: list[_Judged], subscribers: dict[tuple[int, str], int]) -> _Batch:
    batch = _Batch()
    now = time.time()
    for one in judged:
        batch.events.append(one.event)
        holder = subscribers.get((one.event.application_id, one.event.subject))
        if holder is not None and one.fact is not None:
            batch.facts[(holder, one.fact)] += 1
        if holder is not None:
            batch.ends += [(rule, holder, one.event.received_at) for rule in one.ends]
        if not one.verdicts:
            batch.decisions.append(_decision(one.event, None, Verdict(reasons.NO_RULE), now))
        for rule, verdict in one.verdicts:
            _add(batch, one.event, rule, verdict, subscribers, now)
    return batch


def _add(
    batch: _Batch,
    event: Event,
    rule: Ready,
    verdict: Verdict,
    subscribers: dict[tuple[int, str], int],
    now: float,
) -> None:
    reached = 0
    waiting: list[delayed.Wait] = []
    lane = lower_of(event.lane, rule.lane) if rule.lane else event.lane
    if verdict.forwarded and verdict.external_ids is None:
        batch.launches.append((rule, event, lane))
    elif verdict.forwarded:
        ids = verdict.external_ids or []
        known = [key for name in ids if (key := subscribers.get((event.application_id, name))) is not None]
        reached = len(known)
        if not known:
            verdict = Verdict(reasons.UNKNOWN_SUBSCRIBER, ", ".join(ids)[:250])
        else:
            if reached < len(ids):
                missing = {"count": len(ids) - reached, "answered": len(ids)}
                verdict = Verdict(verdict.reason, reasons.NO_SUBSCRIBERS % missing, ids)
            if rule.waits:
                waiting = [delayed.Wait(rule, event, lane, key) for key in known]
            else:
                _tell(batch, event, rule, lane, known)
    decision = _decision(event, rule, verdict, now, reached)
    batch.decisions.append(decision)
    batch.waits += [(one, decision) for one in waiting]


def _tell(batch: _Batch, event: Event, rule: Ready, lane: str, known: list[int]) -> None:
    assert rule.snapshot is not None
    variables = {"event": told(event)}
    expires_at = min(event.time.timestamp(), event.received_at) + rule.snapshot.ttl
    batch.rules[rule.origin] = rule
    batch.people.setdefault((rule.origin, lane), []).extend(
        Named(
            key, str(event.uid), variables, expires_at, since=event.received_at, accepted_at=event.received_at
        )
        for key in known
    )


def _decision(event: Event, rule: Ready | None, verdict: Verdict, now: float, reached: int = 0) -> _Decided:
    return _Decided(
        event_id=event.pk,
        rule_id=rule.pk if rule else None,
        rule_version=rule.version if rule else 0,
        forwarded=verdict.forwarded,
        reason=verdict.reason,
        detail=verdict.detail[:300],
        recipients=reached,
        decided_at=now,
    )


def _close(events: list[Event], claim: str) -> None:
    """Mark the events decided, if all of them are still ours; raises `_ClaimLostError`."""
    chosen, keys = among("id", [event.pk for event in events])
    closed = change(
        f"UPDATE campaigns_event SET decided = %s, lease_until = 0 WHERE {chosen} AND claim = %s AND NOT decided",
        [True, *keys, claim],
    )
    if closed != len(events):
        raise _ClaimLostError


def _release(events: list[Event], claim: str) -> None:
    """Give back what was claimed and not decided, as if it had not been claimed."""
    if events:
        left = Event.objects.filter(id__in=[event.pk for event in events], claim=claim, decided=False)
        left.update(claim="", lease_until=0, attempts=F("attempts") - 1)


def _write(batch: _Batch) -> None:
    """Hand people and launches to delivery, then write the decisions with the runs they led to, and the facts."""
    _let_in(batch)
    found: dict[tuple[int, UUID], UUID] = {}
    cancelled: set[str] = set()
    today = datetime.now(UTC).date()
    for (origin, lane), people in batch.people.items():
        rule = batch.rules[origin]
        run = delayed.standing_run(rule, lane, today)
        if run.state == Run.State.CANCELLED:
            cancelled.add(origin)
            continue
        for page in delayed.pages(people):
            runs.add_people(run, page)
        found.update({(rule.pk, UUID(person.occurrence)): run.uid for person in people})
    for rule, event, lane in batch.launches:
        found[(rule.pk, event.uid)] = _launch(rule, event, lane).uid
    uids = {event.pk: event.uid for event in batch.events}
    origins = {rule.pk: origin for origin, rule in batch.rules.items()}
    for decision in batch.decisions:
        if not decision.forwarded or decision.rule_id is None:
            continue
        decision.run = found.get((decision.rule_id, uids[decision.event_id]))
        if decision.run is None and origins.get(decision.rule_id) in cancelled:
            decision.forwarded, decision.reason, decision.recipients = False, reasons.RUN_CANCELLED, 0
    insert_objects(Decision, batch.decisions)
    if batch.ends:
        delayed.happened(batch.ends)
    facts.add(batch.facts)


def _let_in(batch: _Batch) -> None:
    """Find out whom the rules that wait let in: these are told at once, or wait until they are due."""
    if not batch.waits:
        return
    inside = delayed.let_in([one for one, _ in batch.waits])
    later: list[delayed.Wait] = []
    entered: set[int] = set()
    for (one, decision), let in zip(batch.waits, inside, strict=True):
        if not let:
            decision.recipients -= 1
            continue
        entered.add(id(decision))
        if one.rule.delay:
            later.append(one)
            decision.forwarded, decision.reason = False, reasons.DELAYED
            due = datetime.fromtimestamp(one.due_at, UTC)
            decision.detail = reasons.UNTIL % {"at": due.strftime(remarks.AT)}
        else:
            _tell(batch, one.event, one.rule, one.lane, [one.subscriber])
    for _, decision in batch.waits:
        if id(decision) not in entered:
            decision.forwarded, decision.reason = False, reasons.ENTERED_LATELY
    delayed.wait(later)


def _launch(rule: Ready, event: Event, lane: str) -> Run:
    """Begin the run of one event to the campaign's audience, once: its uid is of the rule and the event."""
    assert rule.snapshot is not None
    begun = datetime.fromtimestamp(min(event.time.timestamp(), event.received_at), UTC)
    return runs.launch(
        application=rule.application,
        origin=rule.origin,
        title=rule.title,
        lane=lane,
        snapshot=msgspec.structs.replace(rule.snapshot, variables={"event": told(event)}),
        category=rule.category,
        expires_at=runs.ends_at(rule.application, rule.snapshot, begun),
        uid=uuid5(rule.uid, str(event.uid)),
    )
