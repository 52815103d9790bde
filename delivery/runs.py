"""Runs: how they begin, stop and end, and what they have come to.

`planned → running ⇄ paused → done | cancelled | failed`; `recalled_at` is a mark beside it.
"""

from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import msgspec
import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from redis.exceptions import RedisError

from delivery import bell, dbclock, goals, news, pieces, remarks, spread, sums
from delivery.claims import MOVES, OPEN
from delivery.models import Page, Parcel, Run, Shard, Stopped, WorkState
from delivery.policy import best_hour, local_time, throttle, window
from delivery.snapshot import Named, Policy, Snapshot, encode_people, to_json
from devices import people as crowd
from devices.models import Application, Category
from devices.short_memory import ShortMemory
from devices.statements import fetch, uuid_value
from devices.words import one_of, within

log = structlog.get_logger(__name__)

STANDING_GRACE = timedelta(hours=1)
"""How long after its day a standing run may still be given pages."""
RECALL_GRACE = timedelta(seconds=3)
"""How long whoever recalls a run has to tell the nodes, before the clock does."""
RECALL_MATTERS = timedelta(hours=1)
"""How long nodes are told of a recall: a line lives half an hour, where nothing else is set, and a new one asks."""
MOST_RECALLS = 100
"""Recalls that one tick tells of."""


class StateError(Exception):
    """What was asked cannot be done to a run in this state; says which state it is in."""


TRANSITIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "pause": ((Run.State.RUNNING,), Run.State.PAUSED),
    "resume": ((Run.State.PAUSED,), Run.State.RUNNING),
    "cancel": ((Run.State.PLANNED, Run.State.RUNNING, Run.State.PAUSED), Run.State.CANCELLED),
    "finish": ((Run.State.RUNNING,), Run.State.DONE),
}
"""What may become of a run, in which states, and the state that follows."""
VERBS = {
    "pause": gettext_noop("pause"),
    "resume": gettext_noop("resume"),
    "cancel": gettext_noop("cancel"),
    "finish": gettext_noop("finish"),
}


def launch(
    *,
    application: Application,
    origin: str,
    title: str,
    lane: str,
    snapshot: Snapshot,
    category: Category | None = None,
    people: list[Named] | None = None,
    expires_at: datetime | None = None,
    uid: UUID | None = None,
) -> Run:
    """Begin a run to the snapshot's audience, or to `people` when given, and return it.

    The audience's highest subscriber id is frozen here; its members are read page by page. A
    `uid` that has a run already returns that run: two clocks launch once.
    """
    if uid is not None and (existing := Run.objects.filter(uid=uid).first()):
        return existing
    now = timezone.now()
    values = {"uid": uid} if uid is not None else {}
    try:
        with transaction.atomic():
            run = Run.objects.create(
                application=application,
                origin=origin,
                title=title[:200],
                kind=Run.Kind.AUDIENCE if people is None else Run.Kind.DIRECT,
                lane=lane,
                state=Run.State.RUNNING,
                snapshot=to_json(_windowed(snapshot, application, now if people is None else None)),
                category=category,
                expires_at=expires_at or ends_at(application, snapshot, now),
                started_at=now,
                **values,
            )
            goals.set_of(run, snapshot)
            if people is None:
                _cut(run)
                transaction.on_commit(lambda: bell.ring("plan", run.lane))
            else:
                add_people(run, people)
    except IntegrityError:
        if uid is None:
            raise
        return Run.objects.get(uid=uid)
    return run


def _windowed(snapshot: Snapshot, application: Application, now: datetime | None) -> Snapshot:
    """Return a snapshot whose window has a beginning: an audience's the time of day of its launch, else midnight."""
    policy = snapshot.policy
    if not window.is_on(policy) or policy.window_start:
        return snapshot
    start = window.MIDNIGHT
    if now is not None:
        start = window.clock(policy.begun or now.timestamp(), application.time_zone)
    policy = msgspec.structs.replace(policy, window_start=start)
    return msgspec.structs.replace(snapshot, policy=policy)


def _cut(run: Run) -> None:
    """Cut the audience into shards of equal width by subscriber id, each with its first page."""
    first, last = crowd.ends(run.application_id)
    width = last - first + 1
    shards = max(1, min(settings.SHARDS, width // settings.PAGE_PEOPLE))
    now = dbclock.now()
    for number in range(shards):
        cursor = first - 1 + width * number // shards
        shard = Shard.objects.create(
            run=run, number=number, cursor=cursor, last=first - 1 + width * (number + 1) // shards
        )
        next_page(run, shard.pk, after=cursor, now=now)


def next_page(run: Run, shard: int, *, after: int, now: float, due_at: float | None = None) -> None:
    """Make the page that goes on behind a shard's cursor `after`, in the slot at `due_at` if it has one."""
    row = {
        "run_id": run.pk,
        "application_id": run.application_id,
        "lane": run.lane,
        "kind": Page.Kind.SHARD.value,
        "shard_id": shard,
        "after": after,
        "due_at": dbclock.due(due_at or now, now=now),
        "paced": due_at is not None,
        "created_at": now,
    }
    pieces.make(Page, [row])


def standing_run(
    *,
    application: Application,
    origin: str,
    title: str,
    lane: str,
    snapshot: Snapshot,
    day: date,
    category: Category | None = None,
) -> Run:
    """Return the run of one day that events of `origin` share, made when it is not there yet."""
    key = f"{application.pk}:{origin}:{lane}:{day.isoformat()}"
    run = _standing(key)
    if run is not None:
        return run
    try:
        with transaction.atomic():
            run = Run.objects.create(
                application=application,
                origin=origin,
                title=title[:200],
                kind=Run.Kind.STANDING,
                standing_key=key,
                lane=lane,
                state=Run.State.RUNNING,
                snapshot=to_json(_windowed(snapshot, application, None)),
                category=category,
                expires_at=ends_at(
                    application,
                    snapshot,
                    datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) + STANDING_GRACE,
                ),
                started_at=timezone.now(),
            )
            goals.set_of(run, snapshot)
            return run
    except IntegrityError:
        return Run.objects.get(standing_key=key)


_standing_runs: ShortMemory[Run] = ShortMemory(seconds=600)
"""What a standing run's row says and never changes, by its key; its snapshot may be large."""


def _standing(key: str) -> Run | None:
    """Return the standing run of a key with its present state, None when there is none yet."""
    rows = fetch("SELECT id, uid, state FROM delivery_run WHERE standing_key = %s", [key])
    if not rows:
        return None
    ((pk, uid, state),) = rows
    run = _standing_runs.get(key)
    if (
        run is None or run.pk != pk or uuid_value(run.uid) != uid
    ):  # a row that was rolled back may have had its key
        run = Run.objects.filter(pk=pk).first()
        if run is None:
            return None
        _standing_runs.put(key, run)
    run.state = state
    return run


def add_people(run: Run, people: list[Named]) -> None:
    """Give a run ordinary pages of named people, inside the caller's transaction; rings when it commits."""
    now = dbclock.now()
    size = throttle.page_size(_policy_of(run), settings.PAGE_PEOPLE)
    pieces.make(
        Page,
        [
            {
                "run_id": run.pk,
                "application_id": run.application_id,
                "lane": run.lane,
                "kind": Page.Kind.PEOPLE.value,
                "people": encode_people(people[start : start + size]),
                "due_at": dbclock.due(now, now=now),
                "created_at": now,
            }
            for start in range(0, len(people), size)
        ],
    )
    transaction.on_commit(lambda: bell.ring("plan", run.lane))


def _policy_of(run: Run) -> Policy:
    """Return the policy of a run without decoding the rest of its snapshot, which may be large."""
    return msgspec.convert(run.snapshot.get("policy", {}), Policy)


def ends_at(application: Application, snapshot: Snapshot, begun: datetime) -> datetime:
    """Return the end of what is told from `begun` on.

    With a local time that is when the last zone's has passed, with a window it counts from its opening.
    """
    since, zone = begun.timestamp(), application.time_zone
    if best_hour.is_on(snapshot.policy):
        last = best_hour.latest(snapshot.policy, since)
        return datetime.fromtimestamp(last, UTC) + timedelta(seconds=snapshot.ttl)
    last = local_time.latest(snapshot.policy, zone, since)
    last = window.opening(snapshot.policy, last, started=since, zone=zone)
    return datetime.fromtimestamp(last, UTC) + timedelta(seconds=snapshot.ttl)


def pause(run: Run) -> None:
    """Stop claiming work of the run; raises `StateError`."""
    _move(run, "pause")


def resume(run: Run, *, retire_anyway: bool = False) -> None:
    """Go on with a paused run; raises `StateError`.

    With `retire_anyway` refused tokens retire their devices, however many they are: the brake is off.
    """
    brake = {"brake": Run.Brake.OFF} if retire_anyway else {}
    if not retire_anyway and run.brake == Run.Brake.TRIPPED:
        brake = {"brake": Run.Brake.READY}
    _move(run, "resume", reason="", **brake)
    bell.ring_due(at_once=True)


def halt(run: Run, reason: str) -> None:
    """Pause a run because of what looks like a wrong configuration; one that does not run any more stays as it is."""
    try:
        _move(run, "pause", reason=reason[:300], brake=Run.Brake.TRIPPED)
    except StateError:
        return
    log.error("run.halted", run=str(run.uid), reason=reason)


def cancel(run: Run, reason: str = "") -> None:
    """End the run: pages are not planned, parcels not sent, what is waiting counts as cancelled.

    What a worker has in hand it closes itself, with what it has sent; `finish_due` sees to the rest.
    """
    with transaction.atomic():
        _move(run, "cancel", reason=reason[:300], finished_at=timezone.now())
        _drop_open_work(run)


def _drop_open_work(run: Run) -> None:
    now = dbclock.now()
    before, after = MOVES["cancel"]
    in_nobodys_hand = Q(state__in=before) & (~Q(state=WorkState.CLAIMED) | Q(lease_until__lt=now))
    pages = Page.objects.filter(in_nobodys_hand, run=run)
    pages.update(state=after, closed_at=now, people=None)
    parcels = Parcel.objects.filter(in_nobodys_hand, run=run)
    for key, size in list(parcels.values_list("pk", "size")):
        Parcel.objects.filter(in_nobodys_hand, pk=key).update(
            state=after,
            closed_at=now,
            body=None,
            cancelled=size,
            reasons={"cancelled": size},
        )


def recall(run: Run) -> None:
    """Take back what the run said: readers hide its entries, nodes tell their devices, no parcel starts.

    Nodes that cannot be told now hear of it from the clock (`tell_recalls`).
    """
    if run.recalled_at is None:
        Run.objects.filter(pk=run.pk, recalled_at=None).update(recalled_at=timezone.now())
    run.refresh_from_db()
    if run.state in TRANSITIONS["cancel"][0]:
        cancel(run, reason=remarks.RECALLED)
    else:
        news.of_run(run.pk)
    _tell_recall(run)


def tell_recalls() -> int:
    """Tell the nodes of recalls that they were not told of: Redis was away, or a process ended. Return how many."""
    now = timezone.now()
    untold = Run.objects.filter(
        recall_told_at=None, recalled_at__gt=now - RECALL_MATTERS, recalled_at__lt=now - RECALL_GRACE
    )
    told = map(_tell_recall, untold.select_related("application")[:MOST_RECALLS])
    return len(
        list(takewhile(bool, told))
    )  # where one cannot be told, the clock does not wait for each of the others


def _tell_recall(run: Run) -> bool:
    """Tell every node that a run was taken back; return whether it could be. Devices take it twice without harm."""
    from delivery import presence

    try:
        presence.recall(run.application.uid, run.uid)
    except RedisError as error:
        # readers hide its entries all the same
        log.warning("run.recall_not_told", run=str(run.uid), error=str(error))
        return False
    Run.objects.filter(pk=run.pk).update(recall_told_at=timezone.now())
    return True


def _move(run: Run, action: str, **values: object) -> None:
    allowed, state = TRANSITIONS[action]
    if not Run.objects.filter(pk=run.pk, state__in=allowed).update(state=state, **values):
        run.refresh_from_db()
        raise StateError(
            _("This run is %(state)s; %(action)s works on one that is %(listed)s.")
            % {
                "state": within(run.get_state_display()),
                "action": _(VERBS[action]),
                "listed": one_of([within(Run.State(one).label) for one in allowed]),
            }
        )
    news.of_run(run.pk)
    run.refresh_from_db()


_OPEN_WORK = " OR ".join(
    f"EXISTS (SELECT 1 FROM {model._meta.db_table} AS piece"
    " WHERE piece.run_id = run.id AND piece.state IN ('waiting', 'claimed', 'dead'))"
    for model in (Page, Parcel)
)
_TO_FINISH = f"""
SELECT 1 FROM delivery_run AS run WHERE
(run.state = 'running' AND (run.kind <> 'standing' OR run.created_at < %s) AND NOT ({_OPEN_WORK}))
OR (run.state = 'cancelled' AND run.finished_at > %s AND ({_OPEN_WORK}))
LIMIT 1
"""


def finish_due() -> int:
    """End the runs that have nothing left to do; return how many.

    Of the runs cancelled within a day, what came out of a worker's hand since is cancelled too. The clock asks every
    second, so one statement says first whether there is anything to do.
    """
    now = timezone.now()
    yesterday, old = now - timedelta(days=1), now - timedelta(days=1) - STANDING_GRACE
    instants = [connection.ops.adapt_datetimefield_value(instant) for instant in (old, yesterday)]
    if not fetch(_TO_FINISH, instants):
        return 0
    cancelled = Run.objects.filter(state=Run.State.CANCELLED, finished_at__gt=yesterday)
    for run in cancelled.filter(Exists(_open(Page)) | Exists(_open(Parcel))):
        _drop_open_work(run)
    before, after = TRANSITIONS["finish"]
    running = Run.objects.filter(state__in=before)
    idle = running.exclude(Exists(_open(Page))).exclude(Exists(_open(Parcel)))
    ended = idle.exclude(kind=Run.Kind.STANDING).update(state=after, finished_at=now)
    standing = idle.filter(kind=Run.Kind.STANDING, created_at__lt=old)
    return ended + standing.update(state=after, finished_at=now)


def _open(model: type[Page] | type[Parcel]) -> QuerySet[Any]:
    """Return a run's pages or parcels that are not closed, for a query over runs."""
    return model._default_manager.filter(run=OuterRef("pk"), state__in=[*OPEN, WorkState.DEAD])


class Progress(msgspec.Struct, frozen=True):
    """What a run has come to so far.

    Two balances hold when `waiting` is 0 and `planned`: `audience = Σ stopped + logged` in
    subscribers, `messages = Σ outcomes` in devices (a subscriber without one is `no_device`).
    """

    audience: int
    stopped: dict[str, int]
    logged: int
    messages: int
    outcomes: dict[str, int]
    reasons: dict[str, int]
    waiting: int
    deferred: int
    planned: bool

    @property
    def balanced(self) -> bool:
        return (
            self.audience == sum(self.stopped.values()) + self.logged
            and self.messages == sum(self.outcomes.values()) + self.waiting
        )

    @property
    def complete(self) -> bool:
        return self.planned and self.waiting == 0


OUTCOMES = ("sent", "stored", "expired", "cancelled", "failed")


def progress(run: Run) -> Progress:
    """Return the sums over a run's pages and parcels.

    Pages are summed first and in one query, then parcels in one: once every page is closed all its
    parcels are there, and a parcel closes in the same instant as its retry is made.
    """
    open_work = Q(state__in=[*OPEN, WorkState.DEAD])
    pages = Page.objects.filter(run=run).aggregate(
        *(Sum(name) for name in ("audience", "logged", "messages", "no_device", "deferred")),
        # people put off stand in their page's `deferred` and again in the `audience` of their slice
        put_off=Sum("audience", filter=Q(kind=Page.Kind.SLICE)),
        open=Count("pk", filter=open_work),
    )
    parcels = Parcel.objects.filter(run=run).aggregate(
        *(Sum(name) for name in OUTCOMES), waiting=Sum("size", filter=open_work)
    )
    put_off = pages["put_off"] or 0
    deferred = (pages["deferred__sum"] or 0) - put_off
    outcomes = {name: parcels[f"{name}__sum"] for name in OUTCOMES if parcels[f"{name}__sum"]}
    if pages["no_device__sum"]:
        outcomes["no_device"] = pages["no_device__sum"]
    return Progress(
        audience=(pages["audience__sum"] or 0) - put_off - deferred,
        stopped=sums.of_reasons(Page, run.pk),
        logged=pages["logged__sum"] or 0,
        messages=pages["messages__sum"] or 0,
        outcomes=outcomes,
        reasons=sums.of_reasons(Parcel, run.pk),
        waiting=parcels["waiting"] or 0,
        deferred=deferred,
        planned=not pages["open"],
    )


PACE_SECONDS = 10.0
"""Over how long the rate of a run is measured."""


class Pace(msgspec.Struct, frozen=True):
    """How fast a run goes: messages that came to an end per second lately, and what that leaves.

    `planned` is the share of the audience's ids that has been planned, `seconds_left` None when
    nothing moves or nothing tells how much is left.
    """

    rate: float
    planned: float
    seconds_left: float | None


def pace(run: Run, so_far: Progress) -> Pace:
    """Return how fast a run goes, from its parcels closed in the last seconds; `so_far` is its progress."""
    now = dbclock.now()
    begun = (run.started_at or run.created_at).timestamp()
    span = max(1.0, min(PACE_SECONDS, now - begun))
    lately = Parcel.objects.filter(run=run, closed_at__gt=now - span)
    ended = lately.aggregate(n=Sum("size") - Sum("retried"))["n"] or 0
    rate = ended / span
    planned = 1.0 if so_far.planned else _planned(run)
    left: float | None = float(so_far.waiting)
    if planned < 1.0:
        # what is still to come is taken to be as dense in messages as what was
        left = so_far.waiting + so_far.messages * (1 - planned) / planned if planned > 0 else None
    if left is not None and left > 0:
        left = left / rate if rate > 0 else None
    return Pace(round(rate, 1), round(planned, 4), None if left is None else round(left, 1))


def recipients(run: Run, so_far: Progress, going: Pace) -> int:
    """Return about how many people a run is for: its audience, or what the planned part of it lets expect."""
    if so_far.planned or going.planned >= 1.0:
        return so_far.audience
    if going.planned > 0 and so_far.audience:
        return round(so_far.audience / going.planned)
    shards = Shard.objects.filter(run=run).aggregate(first=Min("cursor"), last=Max("last"))
    return max(so_far.audience, (shards["last"] or 0) - (shards["first"] or 0))


def _planned(run: Run) -> float:
    """Return the share of the ids of a run's shards that its cursors have passed; 1 for one without shards."""
    shards = list(Shard.objects.filter(run=run).order_by("number").values_list("cursor", "last", "exhausted"))
    if not shards:
        return 1.0
    first = Page.objects.filter(run=run, kind=Page.Kind.SHARD).aggregate(first=Min("after"))["first"]
    width = shards[-1][1] - (first or 0)
    left = sum(last - cursor for cursor, last, exhausted in shards if not exhausted)
    return 1.0 - left / width if width > 0 else 1.0


def by_platform(run: Run, so_far: spread.Spread) -> dict[str, dict[str, int]]:
    """Return what became of a run's messages, platform by platform: `addressed`, and outcomes as far as counted.

    `so_far` is what `told` returned.
    """
    outcomes = sums.of_two(Parcel, "platforms", [run.pk])
    addressed = spread.by_value(so_far.get(spread.PLATFORM, {}))
    return {
        platform: {"addressed": addressed.get(platform, 0), **outcomes.get(platform, {})}
        for platform in sorted({*addressed, *outcomes})
    }


def told(run: Run) -> spread.Spread:
    """Return to whom a run's notifications went so far (`delivery.spread`)."""
    return sums.of_two(Page, "spread", [run.pk])


def by_provider(run: Run) -> dict[str, dict[str, int]]:
    """Return what became of a run's messages, provider by provider: outcomes, and `waiting`."""
    open_work = Q(state__in=[*OPEN, WorkState.DEAD])
    names = (*OUTCOMES, "waiting")
    added = [Sum(name, default=0) for name in OUTCOMES]
    rows = Parcel.objects.filter(run=run).order_by("provider").values_list("provider")
    return {
        provider: {name: count for name, count in zip(names, counts, strict=True) if count}
        for provider, *counts in rows.annotate(*added, waiting=Sum("size", filter=open_work, default=0))
    }


class Balance(msgspec.Struct, frozen=True):
    """A run's sums beside independent counts of the same: the rows of the stopped, and the log read back."""

    run: str
    title: str
    progress: Progress
    stopped_rows: int
    log_entries: int

    @property
    def faults(self) -> list[str]:
        """What does not agree, a sentence each."""
        found, so_far = [], self.progress
        if so_far.complete and not so_far.balanced:
            found.append(f"sums do not balance: {msgspec.json.encode(so_far).decode()}")
        if sum(so_far.stopped.values()) != self.stopped_rows:
            found.append(f"{sum(so_far.stopped.values())} stopped in the sums, {self.stopped_rows} rows")
        if so_far.logged != self.log_entries and so_far.complete:
            found.append(f"{so_far.logged} logged in the sums, {self.log_entries} entries in the log")
        return found


def balances(run: Run) -> Balance:
    """Return a run's sums with independent counts beside them, for `doctor ledger`."""
    from delivery.log.store import log_store

    return Balance(
        run=str(run.uid),
        title=run.title,
        progress=progress(run),
        stopped_rows=Stopped.objects.filter(run=run).count(),
        log_entries=sum(1 for _ in set(log_store().identities(run.uid))),
    )
