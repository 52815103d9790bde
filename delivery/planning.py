"""From a page of people to their log entries and parcels: the processing of one page.

The log is written first; then one transaction moves the cursor and writes the stopped, the
slices and the parcels. Its commit is refused when the fence is old; when the page's stamp is
older than W the page is stamped and logged again, so that no reader's cursor has passed it.
"""

import time
from collections import Counter
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import structlog
from django.conf import settings
from django.db import transaction

from delivery import bell, claims, dbclock, runs
from delivery.log import body as bodies
from delivery.log.store import LogEntry, log_store
from delivery.models import Page, Parcel, Run, Shard, Stopped
from delivery.outgoing import Outgoing, Target, encode
from delivery.policy import STAGES, Candidate, Circumstances, Drop, Stage, plan
from delivery.positions import COMMIT_WINDOW, notification_id, position
from delivery.rendering import Renderer, RenderError
from delivery.snapshot import Named, Snapshot, decode_people, encode_people, from_json
from devices import people
from devices.person import Person

log = structlog.get_logger(__name__)

MESSAGES_A_PARCEL = 500


class Prepared(msgspec.Struct):
    """A run ready for its pages: snapshot decoded, templates compiled."""

    snapshot: Snapshot
    renderer: Renderer
    platforms: frozenset[str]


@lru_cache(maxsize=256)
def _prepared(run_id: int, frozen: bytes) -> Prepared:
    snapshot = from_json(msgspec.json.decode(frozen))
    return Prepared(snapshot, Renderer(snapshot), frozenset(snapshot.platforms))


def prepare(run: Run) -> Prepared:
    """Return a run's snapshot and renderer, kept by the process."""
    return _prepared(run.pk, msgspec.json.encode(run.snapshot))


class Work(msgspec.Struct):
    """What a page came to before it is committed."""

    audience: int
    stopped: list[tuple[Named, Drop]]
    deferred: dict[float, list[Named]]
    entries: list[tuple[Candidate, bytes]]
    outgoing: dict[str, Outgoing]
    no_device: int
    last: int | None
    exhausted: bool
    since: float = 0.0
    """from when the age of its messages is counted (epoch seconds); 0: from what each person has"""


def work_page(page: Page, *, stages: tuple[Stage, ...] = STAGES) -> None:
    """Plan, render, log and hand out one claimed page; raises `claims.LeaseLostError` when it is no longer ours."""
    run = page.run
    prepared = prepare(run)
    stamp = dbclock.now()
    work = _think(page, run, prepared, stamp, stages)
    while True:
        _log(run, work, stamp)
        with transaction.atomic():
            late = dbclock.now() - stamp > COMMIT_WINDOW
            if not late:
                _commit(page, run, work, stamp)
        if not late:
            break
        claims.renew(page)
        stamp = dbclock.now()
    for provider in work.outgoing:
        bell.ring(provider, page.lane)
    if page.shard_id is not None and not work.exhausted:
        bell.ring("plan", page.lane)
    log.info("page.planned", run=str(run.uid), page=page.pk, audience=work.audience, logged=len(work.entries))
    if settings.PAGE_PAUSE_MS and page.shard_id is not None:
        time.sleep(
            settings.PAGE_PAUSE_MS / 1000
        )  # SQLite's lock is not fair: small writers get their turn here


def _read(
    page: Page, run: Run, prepared: Prepared
) -> tuple[list[tuple[Person | None, Named]], int | None, bool]:
    """Return the page's people (None for one deleted since), the new cursor, and whether the shard ends here."""
    category = run.category_id
    if page.shard_id is not None:
        assert page.shard is not None and page.after is not None
        found = people.page_after(
            run.application_id,
            cursor=page.after,
            last=page.shard.last,
            limit=settings.PAGE_PEOPLE,
            predicate=prepared.snapshot.predicate,
            category_id=category,
        )
        exhausted = len(found) < settings.PAGE_PEOPLE
        cursor = page.shard.last if exhausted else found[-1].id
        return [(person, Named(person.id)) for person in found], cursor, exhausted
    named = decode_people(bytes(page.people or b"\x90"))
    by_id = {
        person.id: person
        for person in people.named(
            run.application_id, list({item.subscriber for item in named}), category_id=category
        )
    }
    return [(by_id.get(item.subscriber), item) for item in named], None, True


def _think(page: Page, run: Run, prepared: Prepared, stamp: float, stages: tuple[Stage, ...]) -> Work:
    """Decide and render: everything about the page that does not depend on when it is committed."""
    pairs, cursor, exhausted = _read(page, run, prepared)
    candidates = [
        Candidate(person, named, notification_id(run.uid, UUID(bytes=person.uid), named.occurrence))
        for person, named in pairs
        if person is not None
    ]
    category = run.category
    expires_at = run.expires_at.timestamp() if run.expires_at else None
    circumstances = Circumstances(
        now=stamp,
        expires_at=expires_at,
        category=category.key if category else "",
        opt_in=bool(category and category.opt_in),
    )
    planned = plan(candidates, circumstances, stages)
    work = Work(
        audience=len(pairs),
        stopped=[(candidate.named, drop) for candidate, drop in planned.dropped],
        deferred={until: [each.named for each in put_off] for until, put_off in planned.deferred.items()},
        entries=[],
        outgoing={},
        no_device=0,
        last=cursor,
        exhausted=exhausted,
        since=_since(page, run),
    )
    work.stopped += [(named, Drop("unknown_subscriber")) for person, named in pairs if person is None]
    for candidate in planned.passed:
        _render(candidate, run, prepared, stamp, expires_at, work)
    return work


def _since(page: Page, run: Run) -> float:
    """Return from when the age of a page's messages is counted; 0: from when each person's event was accepted."""
    if page.kind == Page.Kind.SLICE:
        return page.due_at
    if page.kind == Page.Kind.SHARD:
        return (run.started_at or run.created_at).timestamp()
    return 0.0


def variables_of(person: Person, named: Named, shared: dict[str, Any]) -> dict[str, Any]:
    """Return what a text may name: attributes, `subscriber`, what the event or request brought, `event`."""
    variables: dict[str, Any] = dict(person.known())
    variables["subscriber"] = {"external_id": person.external_id, "locale": person.locale}
    variables.update(shared)
    if named.variables:
        variables.update(named.variables)
    return variables


def _render(
    candidate: Candidate, run: Run, prepared: Prepared, stamp: float, expires_at: float | None, work: Work
) -> None:
    person, renderer = candidate.person, prepared.renderer
    locale = renderer.locale(person.locale or run.application.locale)
    variables = (
        {} if renderer.constant else variables_of(person, candidate.named, prepared.snapshot.variables)
    )
    try:
        content = renderer.render(locale, "", variables)
        by_platform = {
            platform: renderer.render(locale, platform, variables) for platform in renderer.differing
        }
    except RenderError as error:
        detail = {"field": error.field, "line": error.line, "reason": error.reason[:200]}
        work.stopped.append((candidate.named, Drop("render_failed", detail)))
        return
    body = bodies.Body(
        content=content,
        category=run.category.key if run.category else "",
        sent_at=int(stamp * 1000),
        by_platform=by_platform,
        platforms=prepared.snapshot.platforms,
    )
    work.entries.append((candidate, bodies.encode(body)))
    limits = [limit for limit in (candidate.named.expires_at, expires_at) if limit is not None]
    since = work.since or candidate.named.accepted_at or run.created_at.timestamp()
    reached = False
    for device in person.devices:
        if prepared.platforms and device.platform not in prepared.platforms:
            continue
        reached = True
        outgoing = work.outgoing.setdefault(device.provider, Outgoing())
        outgoing.add(
            Target(
                device=device.id,
                device_uid=device.uid,
                subscriber=person.id,
                subscriber_uid=person.uid,
                notification=candidate.notification.bytes,
                token=device.token,
                sandbox=device.sandbox,
                platform=device.platform,
                content=-1,
                expires_at=min(limits, default=None),
                since=since,
            ),
            by_platform.get(device.platform, content),
        )
    if not reached:
        work.no_device += 1


def _log(run: Run, work: Work, stamp: float) -> None:
    log_store().append(
        [
            LogEntry(
                UUID(bytes=candidate.person.uid),
                position(stamp, candidate.notification),
                candidate.notification,
                run.uid,
                body,
            )
            for candidate, body in work.entries
        ]
    )


def _commit(page: Page, run: Run, work: Work, stamp: float) -> None:
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
    )
    if page.shard_id is not None:
        assert work.last is not None
        assert page.after is not None
        moved = Shard.objects.filter(pk=page.shard_id, cursor=page.after)
        if not moved.update(cursor=work.last, exhausted=work.exhausted):
            raise claims.LeaseLostError
        if not work.exhausted:
            shard = Shard.objects.get(pk=page.shard_id)
            runs.next_page(run, shard, now=stamp)
    Stopped.objects.bulk_create(
        Stopped(
            run=run,
            page=page,
            subscriber_id=named.subscriber,
            occurrence=named.occurrence,
            reason=drop.reason,
            detail=drop.detail,
        )
        for named, drop in work.stopped
    )
    Page.objects.bulk_create(
        Page(
            run=run,
            application_id=run.application_id,
            lane=page.lane,
            kind=Page.Kind.SLICE,
            parent=page,
            people=encode_people(put_off),
            due_at=until,
            created_at=stamp,
        )
        for until, put_off in work.deferred.items()
    )
    Parcel.objects.bulk_create(
        Parcel(
            run=run,
            page=page,
            application_id=run.application_id,
            lane=page.lane,
            provider=provider,
            due_at=stamp,
            expires_at=part.last_expiry(),
            body=encode(msgspec.structs.replace(part, stamp=stamp)),
            size=part.size,
            created_at=stamp,
        )
        for provider, outgoing in work.outgoing.items()
        for part in outgoing.split(MESSAGES_A_PARCEL)
    )
