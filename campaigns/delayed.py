"""People told of an event later: who is let in, who waits until when, whom another event takes out again.

What waits stands in the database with its instant, so nothing is lost by a restart. Due, it becomes an ordinary page of
the rule's standing run and goes through policy like every other.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import structlog
from django.conf import settings
from django.db import transaction

from campaigns import experimenting, reasons
from campaigns.deciding import told
from campaigns.models import Decision, Delayed, Entrance, Event
from campaigns.models.limits import LONGEST_ONCE_DAYS
from campaigns.rulebook import Ready, rulebooks
from delivery import runs
from delivery.models import Run
from delivery.snapshot import Named
from devices.statements import among, change, fetch, insert, insert_objects

log = structlog.get_logger(__name__)

BATCH = 500
ENTRIES_A_STATEMENT = 5_000
MOST_A_ROUND = 10_000
"""People handed on in one round of the clock; the others in the next."""
DAY = 86_400.0
KEPT_DAYS = 90
"""Days for which it is known what became of those who waited."""
FORGOTTEN_AT_ONCE = 5_000
BYTES_A_PAGE = 2 * 1024 * 1024
"""Bytes of variables that one page of people may carry: each person carries their event."""
_WAITING = Delayed.State.WAITING.value


class Wait(msgspec.Struct, frozen=True):
    """Somebody (primary key) who is to be told of an event by a rule."""

    rule: Ready
    event: Event
    lane: str
    subscriber: int

    @property
    def due_at(self) -> float:
        """When (epoch seconds): so long after the event was accepted."""
        return self.event.received_at + self.rule.delay


def standing_run(rule: Ready, lane: str, day: date) -> Run:
    """Return the run that a day's events of a rule share."""
    assert rule.snapshot is not None
    snapshot = rule.snapshot
    if not rule.keeps_audience:
        # a rule names its people: the campaign's audience does not choose among them
        snapshot = msgspec.structs.replace(snapshot, predicate=None)
    snapshot = experimenting.with_winner(snapshot)
    return runs.standing_run(
        application=rule.application,
        origin=rule.origin,
        title=rule.title,
        lane=lane,
        snapshot=snapshot,
        category=rule.category,
        day=day,
    )


def let_in(asked: Sequence[Wait]) -> list[bool]:
    """Return who of some people their rules let in now, and note it; takes part in the open transaction.

    A rule with `once_days` lets each person in once in so many days; the first of several events counts. One statement
    for each such rule (and five thousand people).
    """
    answers = [True] * len(asked)
    by_rule: dict[int, dict[int, int]] = defaultdict(dict)
    for place, one in enumerate(asked):
        if one.rule.once_days:
            firsts = by_rule[one.rule.pk]
            answers[place] = one.subscriber not in firsts
            firsts.setdefault(one.subscriber, place)
    for rule, firsts in by_rule.items():
        people = sorted(firsts.items())
        days = asked[people[0][1]].rule.once_days
        rows = [_Entering(rule, subscriber, asked[place].event.received_at) for subscriber, place in people]
        inside = {
            row[0] for start in range(0, len(rows), ENTRIES_A_STATEMENT) for row in _enter(rows, start, days)
        }
        for subscriber, place in people:
            answers[place] = subscriber in inside
    return answers


class _Entering(msgspec.Struct):
    rule_id: int
    subscriber_id: int
    entered_at: float


def _enter(rows: list[_Entering], start: int, days: int) -> list[tuple[Any, ...]]:
    """Write when some people came in, unless they did within so many days; return who came in."""
    table = Entrance._meta.db_table
    return insert_objects(
        Entrance,
        rows[start : start + ENTRIES_A_STATEMENT],
        tail=" ON CONFLICT (rule_id, subscriber_id) DO UPDATE SET entered_at = excluded.entered_at"
        f" WHERE {table}.entered_at <= excluded.entered_at - {days * DAY} RETURNING subscriber_id",
    )


def wait(people: Sequence[Wait]) -> None:
    """Let people wait until they are due; takes part in the open transaction."""
    insert(
        Delayed._meta.db_table,
        ("rule_id", "subscriber_id", "event_id", "lane", "accepted_at", "due_at", "state", "reason"),
        [
            (
                one.rule.pk,
                one.subscriber,
                one.event.pk,
                one.lane,
                one.event.received_at,
                one.due_at,
                _WAITING,
                "",
            )
            for one in people
        ],
    )


def happened(ends: Iterable[tuple[int, int, float]]) -> int:
    """Take out who waits for a rule that another event ends: (rule, subscriber, when it was accepted); return how many.

    Who came in after that event goes on waiting. Takes part in the open transaction.
    """
    taken: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for rule, subscriber, at in ends:
        taken[rule].append((subscriber, at))
    gone = 0
    now = time.time()
    for rule, found in taken.items():
        latest = dict(sorted(found, key=lambda one: one[1]))
        people, keys = among("subscriber_id", list(latest))
        rows = fetch(
            f"SELECT id, subscriber_id, accepted_at, event_id FROM {Delayed._meta.db_table}"
            f" WHERE rule_id = %s AND {people} AND state = %s",
            [rule, *keys, _WAITING],
        )
        out = {key: event for key, holder, since, event in rows if since <= latest[holder]}
        if not out:
            continue
        events = [out[key] for key in _end(list(out), reasons.HAPPENED_MEANWHILE, now)]
        Decision.objects.filter(rule=rule, event__in=events).update(reason=reasons.HAPPENED_MEANWHILE)
        gone += len(events)
    return gone


def _end(keys: list[int], reason: str, now: float, state: str = Delayed.State.CANCELLED.value) -> list[int]:
    """End what still waits of some rows; return which. Of several who try, one finds each row."""
    chosen, values = among("id", keys)
    rows = fetch(
        f"UPDATE {Delayed._meta.db_table} SET state = %s, reason = %s, ended_at = %s"
        f" WHERE {chosen} AND state = %s RETURNING id",
        [state, reason, now, *values, _WAITING],
    )
    return [key for (key,) in rows]


def release(now: datetime) -> int:
    """Hand on who is due at `now`; return how many were handed on or given up, with the reason in the decision."""
    done = 0
    while done < MOST_A_ROUND:
        with transaction.atomic():
            found = _release(now.timestamp())
        done += found
        if found < BATCH:
            break
    return done


def _release(now: float) -> int:
    due = list(
        Delayed.objects.filter(state=_WAITING, due_at__lte=now)
        .select_related("event")
        .order_by("due_at", "pk")[:BATCH]
    )
    if not due:
        return 0
    # the losing branch: another clock's UPDATE came first, and its transaction hands them on
    mine = set(_end([one.pk for one in due], reasons.FORWARDED, now, Delayed.State.TOLD.value))
    books = rulebooks({one.event.application_id for one in due})
    rules = {rule.pk: rule for book in books.values() for some in book.values() for rule in some}
    groups: dict[tuple[int, str], list[Delayed]] = defaultdict(list)
    for one in due:
        if one.pk in mine:
            groups[(one.rule_id, one.lane)].append(one)
    today = datetime.fromtimestamp(now, UTC).date()
    for (key, lane), people in groups.items():
        _hand_on(rules.get(key), key, lane, people, today)
    return len(mine)


def _hand_on(rule: Ready | None, key: int, lane: str, people: list[Delayed], day: date) -> None:
    events = [one.event_id for one in people]
    decisions = Decision.objects.filter(rule=key, event__in=events)
    refused, run = "", None
    if rule is None or rule.snapshot is None:
        refused = reasons.CAMPAIGN_NOT_LIVE
    else:
        run = standing_run(rule, lane, day)
        if run.state == Run.State.CANCELLED:
            refused = reasons.RUN_CANCELLED
    if refused or rule is None or run is None:
        Delayed.objects.filter(pk__in=[one.pk for one in people]).update(
            state=Delayed.State.CANCELLED, reason=refused
        )
        decisions.update(reason=refused, forwarded=False)
        return
    assert rule.snapshot is not None
    ttl = rule.snapshot.ttl
    told_to = [
        Named(
            one.subscriber_id,
            str(one.event.uid),
            {"event": told(one.event)},
            one.due_at + ttl,
            since=one.due_at,
            accepted_at=one.due_at,
        )
        for one in people
    ]
    for page in pages(told_to):
        runs.add_people(run, page)
    decisions.update(reason=reasons.FORWARDED, forwarded=True, run=run.uid, detail="")


def pages(people: list[Named]) -> list[list[Named]]:
    """Cut people into pages of at most `PAGE_PEOPLE`, and of `BYTES_A_PAGE` of the events they carry."""
    found: list[list[Named]] = [[]]
    sizes: dict[str, int] = {}
    held = 0
    for person in people:
        if person.occurrence not in sizes:
            sizes[person.occurrence] = len(msgspec.msgpack.encode(person.variables))
        held += sizes[person.occurrence]
        if found[-1] and (held > BYTES_A_PAGE or len(found[-1]) >= settings.PAGE_PEOPLE):
            found.append([])
            held = sizes[person.occurrence]
        found[-1].append(person)
    return found


def forget(now: float) -> int:
    """Forget what became of those who waited long ago, and who was let in longer ago than any rule asks."""
    delayed, entrances = Delayed._meta.db_table, Entrance._meta.db_table
    gone = change(
        f"DELETE FROM {delayed} WHERE id IN"
        f" (SELECT id FROM {delayed} WHERE state <> %s AND ended_at < %s LIMIT {FORGOTTEN_AT_ONCE})",
        [_WAITING, now - KEPT_DAYS * DAY],
    )
    return gone + change(
        f"DELETE FROM {entrances} WHERE id IN"
        f" (SELECT id FROM {entrances} WHERE entered_at < %s LIMIT {FORGOTTEN_AT_ONCE})",
        [now - LONGEST_ONCE_DAYS * DAY],
    )
