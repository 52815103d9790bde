"""Intake: takes CloudEvents in, each once, and rings for the engine. A stored event is never lost.

An event's identity is (application, source, id). The same event again is a repeat and changes
nothing; another body under a known identity is refused, and the first stands.
"""

import difflib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec
from django.db import transaction

from campaigns.cloudevents import REQUIRED, CloudEvent, EventError, read
from campaigns.models import Event, EventType
from campaigns.schemas import DataError, check_data
from delivery import bell
from devices.models import ApiKey, Application, Subscriber
from devices.problem_values import Problem
from devices.statements import among_texts, fetch, insert_objects, instances, uuid_value

BATCH_LIMIT = 1_000
"""Events that one batch may have."""

RESERVED = {"/subscribers/": "clients", "/schedules/": "clock"}
"""Prefixes of `source` that the hub gives itself, so that nobody can speak for a client or the clock."""


class Sender(msgspec.Struct, frozen=True):
    """Who sends events: `kind` as event types name it, and what is granted to them.

    `lanes` and `prefixes` of None mean any; `source` and `subject`, when set, replace what was sent.
    """

    kind: str
    lanes: frozenset[str] | None = None
    prefixes: tuple[str, ...] | None = None
    source: str = ""
    subject: str = ""

    @classmethod
    def key(cls, key: ApiKey) -> "Sender":
        """A service with an API key: its lanes, its source prefixes (none: any)."""
        return cls("keys", lanes=frozenset(key.lanes), prefixes=tuple(key.source_prefixes) or None)

    @classmethod
    def client(cls, subscriber: Subscriber) -> "Sender":
        """A device with a subscriber token: source and subject are the subscriber, whatever it sends."""
        source = "/subscribers/" + quote(subscriber.external_id, safe="@:!$&'()*+,;=~")
        if len(source) > REQUIRED["source"]:
            source = f"/subscribers/uid:{subscriber.uid}"
        return cls("clients", source=source, subject=subscriber.external_id)

    @classmethod
    def clock(cls) -> "Sender":
        """The hub's own clock."""
        return cls("clock")


class Rejected(msgspec.Struct, frozen=True):
    """An event of a batch that was not taken: its place (from 0) and why."""

    index: int
    problem: Problem

    def as_dict(self) -> dict[str, Any]:
        """Return it as an answer has it: `{index, problem}`."""
        return {"index": self.index, "problem": self.problem.as_dict()}


class Accepted(msgspec.Struct, frozen=True):
    """What became of a batch: the uids of what is stored now, how many were repeats, what was rejected."""

    stored: list[UUID]
    repeated: int
    rejected: list[Rejected]


class BatchError(Exception):
    """A batch that cannot be taken at all, with the problem to answer."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


def accept(application: Application, documents: Sequence[Any], sender: Sender) -> Accepted:
    """Store a batch's good events in one transaction; when this returns they are never lost.

    `documents` are decoded JSON. Raises `BatchError` for an empty batch and for one of more than
    `BATCH_LIMIT` events.
    """
    _check_batch(documents)
    taken: list[tuple[int, CloudEvent]] = []
    rejected: list[Rejected] = []
    for index, document in enumerate(documents):
        try:
            taken.append((index, read(_as_sent_by(sender, document))))
        except EventError as error:
            rejected.append(Rejected(index, error.problem))
    types = _types(application, {event.type for _, event in taken})
    rows: list[tuple[int, _New]] = []
    for index, event in taken:
        kind = types.get(event.type)
        problem = _unknown(application, event) if kind is None else _refusal(event, kind, sender)
        if problem is not None or kind is None:
            assert problem is not None
            rejected.append(Rejected(index, problem))
        else:
            rows.append((index, _row(application, event, kind, sender)))
    stored, repeated, clashes = _store(application, rows)
    return Accepted(stored, repeated, sorted([*rejected, *clashes], key=lambda one: one.index))


def _types(application: Application, names: set[str]) -> dict[str, EventType]:
    named, texts = among_texts("name", list(names))
    found = instances(
        EventType,
        f"SELECT {{columns}} FROM campaigns_eventtype WHERE application_id = %s AND {named}",
        [application.pk, *texts],
    )
    return {kind.name: kind for kind in found}


def _check_batch(documents: Sequence[Any]) -> None:
    if not documents:
        raise BatchError(Problem(400, "batch-empty", "The batch is empty", "Send at least one event."))
    if len(documents) > BATCH_LIMIT:
        detail = f"The batch has {len(documents):,} events; {BATCH_LIMIT:,} are the most. Send it in parts."
        raise BatchError(Problem(413, "batch-too-large", "The batch is too large", detail))


def _as_sent_by(sender: Sender, document: Any) -> Any:
    if not sender.source or not isinstance(document, dict):
        return document
    return {**document, "source": sender.source, "subject": sender.subject}


def _unknown(application: Application, event: CloudEvent) -> Problem:
    known = list(
        EventType.objects.filter(application=application)
        .order_by("name")
        .values_list("name", flat=True)[:1_000]
    )
    near = difflib.get_close_matches(event.type, known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else " Create it first, in the admin or by the API."
    detail = f"There is no event type “{event.type}”.{hint}"
    return Problem(400, "event-type-unknown", "The event type is not known", detail, "/type")


def _refusal(event: CloudEvent, kind: EventType, sender: Sender) -> Problem | None:
    """Return why this sender may not send this event, or None."""
    if sender.kind not in kind.senders:
        allowed = ", ".join(kind.senders) or "nobody"
        detail = f"“{kind.name}” may be sent by {allowed}, not by {sender.kind}."
        return Problem(403, "event-sender", "This sender may not send this event type", detail, "/type")
    if sender.kind == "keys" and (problem := _source_refusal(event.source, sender.prefixes)):
        return problem
    if sender.lanes is not None and kind.lane not in sender.lanes:
        detail = f"“{kind.name}” goes in the lane “{kind.lane}”, which is not granted to this API key."
        return Problem(403, "lane", "The lane is not granted", detail, "/type")
    if kind.schema is None:
        return None
    try:
        check_data(kind.schema, event.data)
    except DataError as error:
        detail = f"The data does not fit the schema of “{kind.name}”: {error}."
        return Problem(
            400, "event-data", "The event's data does not fit its type", detail, "/data" + error.pointer
        )
    return None


def _source_refusal(source: str, prefixes: tuple[str, ...] | None) -> Problem | None:
    detail = ""
    if any(source.startswith(prefix) for prefix in RESERVED):
        detail = f"The hub itself gives sources that begin with {' or '.join(RESERVED)}; choose another."
    elif prefixes is not None and not source.startswith(prefixes):
        detail = f"This API key may send from {', '.join(prefixes)}, not from “{source}”."
    return Problem(403, "event-source", "The source is not granted", detail, "/source") if detail else None


class _New(msgspec.Struct, frozen=True):
    """An event as its row is to be."""

    application_id: int
    uid: UUID
    source: str
    event_id: str
    type: str
    subject: str
    time: datetime
    data: Any
    digest: str
    sender: str
    lane: str
    received_at: float
    decided: bool = False
    claim: str = ""
    lease_until: float = 0.0
    attempts: int = 0


def _row(application: Application, event: CloudEvent, kind: EventType, sender: Sender) -> _New:
    now = time.time()
    return _New(
        application_id=application.pk,
        uid=uuid4(),
        source=event.source,
        event_id=event.id,
        type=event.type,
        subject=event.subject,
        time=event.time or datetime.fromtimestamp(now, UTC),
        data=event.data,
        digest=event.digest,
        sender=sender.kind,
        lane=kind.lane,
        received_at=now,
    )


def _store(application: Application, rows: list[tuple[int, _New]]) -> tuple[list[UUID], int, list[Rejected]]:
    """Insert what is new, in one statement, and tell repeats from clashes by what stands under their identity.

    The insert passes over known identities, so of two batches at once with the same event one
    inserts and the other, which waits for it, finds it.
    """
    if not rows:
        return [], 0, []
    # in one order for everybody: on PostgreSQL two batches with the same events in other orders deadlock
    ordered = sorted((event for _, event in rows), key=lambda event: (event.source, event.event_id))
    inserted = insert_objects(
        Event, ordered, tail="ON CONFLICT (application_id, source, event_id) DO NOTHING RETURNING uid"
    )
    new = {uid for (uid,) in inserted}
    standing = _standing(application, rows) if len(new) < len(rows) else {}
    stored: list[UUID] = []
    repeated = 0
    clashes: list[Rejected] = []
    lanes: dict[str, None] = {}
    for index, event in rows:
        if uuid_value(event.uid) in new:
            stored.append(event.uid)
            lanes[event.lane] = None
        elif standing[(event.source, event.event_id)] == event.digest:
            repeated += 1
        else:
            clashes.append(Rejected(index, _clash(event)))
    for lane in lanes:
        transaction.on_commit(partial(bell.ring, "decide", lane))
    return stored, repeated, clashes


def _standing(application: Application, rows: list[tuple[int, _New]]) -> dict[tuple[str, str], str]:
    """Return the digests that stand under the rows' identities, by source and id."""
    sources, of_sources = among_texts("source", list({event.source for _, event in rows}))
    ids, of_ids = among_texts("event_id", list({event.event_id for _, event in rows}))
    found = fetch(
        "SELECT source, event_id, digest FROM campaigns_event"
        f" WHERE application_id = %s AND {sources} AND {ids}",
        [application.pk, *of_sources, *of_ids],
    )
    return {(source, name): digest for source, name, digest in found}


def _clash(event: _New) -> Problem:
    detail = (
        f"An event “{event.event_id}” from “{event.source}” is known with another body, and that one stands. "
        "Give a different event another id."
    )
    return Problem(409, "event-clash", "An event with this identity has another body", detail, "/id")
