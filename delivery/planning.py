"""From a page of people to their log entries and parcels: the processing of one page.

The log is written first; then one transaction moves the cursor and writes the stopped, the
slices and the parcels. Its commit is refused when the fence is old; when the page's stamp is
older than W the page is stamped and logged again, so that no reader's cursor has passed it.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog
from django.conf import settings
from django.db import transaction

from delivery import bell, caps, claims, dbclock, pacing, pieces, runs, silence, unread
from delivery.log.store import NewEntry, log_store
from delivery.models import Page, Parcel, Run, Stopped
from delivery.outgoing import encode
from delivery.policy import STAGES, Stage
from delivery.positions import COMMIT_WINDOW
from delivery.snapshot import Named, decode_people, encode_people
from delivery.thinking import Pair, Prepared, Work, circumstances_of, prepare, think
from devices import facts, people
from devices.models import Provider
from devices.statements import change, fetch, insert, to_text

log = structlog.get_logger(__name__)

MESSAGES_A_PARCEL, PAIRS_A_PARCEL = 1_000, 500
"""Messages of a parcel to a provider, and of one to WebSockets, which is an entry of a node's stream."""
PATIENCE = 300.0
"""Seconds; the longest wait between two tries of a page whose people cannot be counted."""


class Place(NamedTuple):
    """Where a shard's page ends: the new cursor (None for named people), and whether the shard does."""

    cursor: int | None
    exhausted: bool
    since: float = 0.0
    """from when the age of its messages is counted (epoch seconds); 0: from what each person has"""


def work_page(page: Page, *, stages: Sequence[Stage] = STAGES) -> None:
    """Plan, render, log and hand out one claimed page; raises `claims.LeaseLostError` when it is no longer ours.

    A page whose slot has not come, or whose people cannot be counted now, is put back untouched.
    """
    run = page.run
    prepared = prepare(run)
    stamp = dbclock.now()
    if not pacing.may_begin(page, run, prepared.snapshot.policy, now=stamp):
        return
    rules = caps.of_run(run)
    reservations = caps.RedisCaps(run.application_id, run.application.caps) if rules else None
    circumstances = circumstances_of(run, prepared.snapshot, stamp, caps=rules, reservations=reservations)
    pairs, cursor, exhausted = _read(page, run, prepared)
    try:
        work = think(
            run,
            prepared,
            pairs,
            circumstances,
            stages,
            since=_since(page, run),
            badges=unread.badges_of,
            outside=_outside(run, prepared, pairs),
        )
    except caps.CapsNotReadyError as error:
        claims.put_back(page, due_at=max(error.until, stamp + min(PATIENCE, 2.0 ** min(page.fence - 1, 20))))
        log.warning("page.put_back", run=str(run.uid), page=page.pk, reason=str(error))
        return
    routes = silence.routes(work.outgoing, page.lane, across=prepared.snapshot.silence_across_devices)
    if reservations is not None:
        reservations.release((one.person.uid, one.notification) for one in work.untold)
    while True:
        _log(run, work, stamp)
        with transaction.atomic():
            late = dbclock.now() - stamp > COMMIT_WINDOW
            if not late:
                _commit(page, run, prepared, work, routes, Place(cursor, exhausted), stamp)
        if not late:
            break
        claims.renew(page)
        stamp = dbclock.now()
    for provider in {route.provider for route in routes if not route.wait and route.due <= stamp}:
        bell.ring(provider, page.lane)
    if page.shard_id is not None and not exhausted:
        bell.ring("plan", page.lane)
    log.debug(
        "page.planned", run=str(run.uid), page=page.pk, audience=work.audience, logged=len(work.entries)
    )
    if settings.PAGE_PAUSE_MS and page.shard_id is not None:
        # SQLite's lock is not fair: small writers get their turn here
        time.sleep(settings.PAGE_PAUSE_MS / 1000)


def _since(page: Page, run: Run) -> float:
    """Return from when the age of a page's messages is counted; 0: from when each person's event was accepted."""
    if page.kind == Page.Kind.SLICE:
        return page.due_at
    if page.kind == Page.Kind.SHARD:
        return (run.started_at or run.created_at).timestamp()
    return 0.0


def _read(page: Page, run: Run, prepared: Prepared) -> tuple[list[Pair], int | None, bool]:
    """Return the page's people (None for one deleted since), the new cursor, and whether the shard ends here."""
    category = run.category_id
    if page.shard_id is not None:
        assert page.after is not None
        ((last,),) = fetch("SELECT last FROM delivery_shard WHERE id = %s", [page.shard_id])
        limit = pacing.page_size(prepared.snapshot.policy)
        found = people.page_after(
            run.application_id,
            cursor=page.after,
            last=last,
            limit=limit,
            predicate=prepared.snapshot.predicate,
            category_id=category,
        )
        exhausted = len(found) < limit
        cursor = last if exhausted else found[-1].id
        share = prepared.snapshot.share
        if share is not None:
            found = [person for person in found if share.holds(person.uid)]
        return [(person, Named(person.id)) for person in found], cursor, exhausted
    named = decode_people(bytes(page.people or b"\x90"))
    by_id = {
        person.id: person
        for person in people.named(
            run.application_id, list({item.subscriber for item in named}), category_id=category
        )
    }
    return [(by_id.get(item.subscriber), item) for item in named], None, True


def _outside(run: Run, prepared: Prepared, pairs: Sequence[Pair]) -> frozenset[int]:
    """Return the people (primary keys) of a standing run's page whom its campaign's segment does not choose."""
    predicate = prepared.snapshot.predicate
    if run.kind != Run.Kind.STANDING or predicate is None:
        return frozenset()
    known = {named.subscriber for person, named in pairs if person is not None}
    inside = people.named(run.application_id, known, predicate=predicate)
    return frozenset(known.difference(person.id for person in inside))


def _log(run: Run, work: Work, stamp: float) -> None:
    log_store().append(
        [NewEntry(candidate.person.uid, candidate.notification, body) for candidate, body in work.entries],
        run=run.uid,
        stamp=stamp,
    )


def _commit(
    page: Page,
    run: Run,
    prepared: Prepared,
    work: Work,
    routes: Sequence[silence.Route],
    place: Place,
    stamp: float,
) -> None:
    """The page's one transaction: cursor moved, the stopped, its slices, its parcels, its counts."""
    reasons = Counter(drop.reason for _, drop in work.stopped)
    messages = sum(outgoing.size for outgoing in work.outgoing.values()) + work.no_device
    claims.close(
        page,
        stamp=stamp,
        audience=work.audience,
        stopped=len(work.stopped),
        logged=len(work.entries),
        messages=messages,
        no_device=work.no_device,
        deferred=sum(len(put_off) for put_off in work.deferred.values()),
        reasons=dict(reasons),
        spread=work.spread,
    )
    if page.shard_id is not None:
        _move_shard(page, run, prepared, place, stamp)
    facts.count(run.application_id, facts.RECEIVED, [candidate.person.id for candidate, _ in work.entries])
    insert(
        Stopped._meta.db_table,
        ("run_id", "page_id", "subscriber_id", "occurrence", "reason", "detail"),
        [
            (run.pk, page.pk, named.subscriber, named.occurrence, drop.reason, to_text(drop.detail))
            for named, drop in work.stopped
        ],
    )
    shared = {"run_id": run.pk, "application_id": run.application_id, "lane": page.lane, "created_at": stamp}
    size = pacing.page_size(prepared.snapshot.policy)
    pieces.make(
        Page,
        [
            {
                **shared,
                "kind": Page.Kind.SLICE.value,
                "parent_id": page.pk,
                "people": encode_people(put_off[start : start + size]),
                "due_at": until,
            }
            for until, put_off in work.deferred.items()
            for start in range(0, len(put_off), size)
        ],
    )
    pieces.make(
        Parcel,
        [
            {
                **shared,
                "page_id": page.pk,
                "provider": str(route.provider),
                "due_at": dbclock.due(max(route.due, stamp) + route.wait, now=stamp),
                "expires_at": part.last_expiry(),
                "body": encode(msgspec.structs.replace(part, stamp=stamp)),
                "size": part.size,
            }
            for route in routes
            for part in route.outgoing.split(
                PAIRS_A_PARCEL if route.provider == Provider.SOCKET else MESSAGES_A_PARCEL
            )
        ],
    )


def _move_shard(page: Page, run: Run, prepared: Prepared, place: Place, stamp: float) -> None:
    """Move the cursor of the page's shard and make its next page; raises `claims.LeaseLostError` if it has moved."""
    moved = change(
        "UPDATE delivery_shard SET cursor = %s, exhausted = %s WHERE id = %s AND cursor = %s",
        [place.cursor, place.exhausted, page.shard_id, page.after],
    )
    if not moved:
        raise claims.LeaseLostError
    if not place.exhausted:
        assert page.shard_id is not None and place.cursor is not None
        runs.next_page(run, page.shard_id, after=place.cursor, now=stamp, due_at=_slot(run, prepared, stamp))


def _slot(run: Run, prepared: Prepared, stamp: float) -> float | None:
    """Return when the shard's next page may begin, None for at once."""
    policy = prepared.snapshot.policy
    return pacing.take_slot(run, policy, pacing.page_size(policy), now=stamp) if policy.rate else None
