"""Who works on what: pages and parcels are claimed with a lease and a fence, by conditional UPDATE.

A claim counts the fence up; a commit must show the newest. A worker that died leaves a lease
that runs out; one that slept through its lease finds its fence old and may not commit. Work that
failed waits a while, longer each time, and is set aside as dead after so many claims.

These statements run several times a page, so they are written by hand; what a run's pages share is
read by the ORM once and kept until a row it was made of reads differently.
"""

import random
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from django.conf import settings

from delivery import dbclock, gates
from delivery.models import Page, Parcel, Run, WorkState
from devices.models import Provider
from devices.statements import Row, among, change, fetch, to_text

OPEN = [WorkState.WAITING, WorkState.CLAIMED]
MAX_CLAIMS = 20
"""Claims after which a page or parcel is set aside as dead: it fails, kills its workers or never fits its lease."""
BACKOFF_BASE = 0.5
BACKOFF_CAP = 60.0
ERROR_CHARACTERS = 4_000
COUNTS = ("reasons", "spread", "platforms")
"""Columns that hold counts as JSON."""

Piece = TypeVar("Piece", Page, Parcel)

MOVES: dict[str, tuple[tuple[WorkState, ...], WorkState]] = {
    "claim": ((WorkState.WAITING, WorkState.CLAIMED), WorkState.CLAIMED),
    "close": ((WorkState.CLAIMED,), WorkState.DONE),
    "put_back": ((WorkState.CLAIMED,), WorkState.WAITING),
    "bury": ((WorkState.WAITING, WorkState.CLAIMED), WorkState.DEAD),
    "cancel": ((WorkState.WAITING, WorkState.CLAIMED, WorkState.DEAD), WorkState.CANCELLED),
    "requeue": ((WorkState.DEAD,), WorkState.WAITING),
    "take_dead": ((WorkState.DEAD,), WorkState.CLAIMED),
}
"""What becomes of a page or parcel, from which states, and the state that follows: every UPDATE of a state is made
of it. `claim` and `cancel` of a claimed one need a lease that has run out; all that a worker does, the newest fence."""


def states(move: str) -> str:
    """Return the states from which a move may be made, as a list of SQL."""
    return "(" + ", ".join(f"'{state.value}'" for state in MOVES[move][0]) + ")"


def following(move: str) -> str:
    """Return the state that follows a move."""
    return MOVES[move][1].value


class LeaseLostError(Exception):
    """Another worker has claimed this page or parcel since: leave it, commit nothing."""


def claim_page(lane: str, worker: str, *, run: int | None = None) -> Page | None:
    """Claim the due page of a lane whose (application, run) was served least recently, or one of `run`."""
    where, values = "piece.lane = %s", [lane]
    return _claim(Page, *_of_run(where, values, run), worker)


def claim_parcel(provider: str, lane: str, worker: str, *, run: int | None = None) -> Parcel | None:
    """Claim the due parcel of a provider and lane, or one of `run`.

    Gates that are not open are passed over, unless it is past its time.
    """
    where = "piece.provider = %s AND piece.lane = %s"
    values: list[Any] = [provider, lane]
    barred = gates.barred(provider, lane) if provider != Provider.SOCKET else []
    if barred:  # asked once for all candidates
        condition, keys = among("piece.application_id", barred)
        where += f" AND (NOT ({condition}) OR piece.expires_at <= %s)"
        values += [*keys, dbclock.now()]
    return _claim(Parcel, *_of_run(where, values, run), worker)


def _of_run(where: str, values: list[Any], run: int | None) -> tuple[str, list[Any]]:
    return (where, values) if run is None else (f"{where} AND piece.run_id = %s", [*values, run])


_SHARED = (
    ("run", ("id", "uid", "created_at", "brake", "expires_at", "category_id")),
    ("application", ("id", "locale", "time_zone", "quiet_hours", "caps")),
    ("category", ("key", "opt_in", "transactional", "critical_overrides")),
)
"""What a worker goes by and somebody may change while a run lasts, by table: read with every claim."""

_CANDIDATES = """
SELECT piece.id, piece.fence, piece.tries, {shared}
FROM {table} AS piece
JOIN delivery_run AS run ON run.id = piece.run_id
JOIN devices_application AS application ON application.id = run.application_id
LEFT JOIN devices_category AS category ON category.id = run.category_id
WHERE {where} AND run.state = 'running'
AND piece.state IN {states} AND piece.due_at <= %s AND piece.lease_until < %s
AND NOT EXISTS (SELECT 1 FROM delivery_hold AS hold
                WHERE hold.application_id = piece.application_id AND (hold.lane = '' OR hold.lane = piece.lane))
ORDER BY run.served_at, piece.id LIMIT {most}
"""
_TAKE = """
UPDATE {table} SET state = %s, fence = fence + 1, tries = tries + 1, lease_until = %s, worker = %s
WHERE id = %s AND fence = %s AND state IN {states} AND lease_until < %s
RETURNING {columns}
"""


CANDIDATES = 8
_WAS_LAST = "_was_last"


def was_last(piece: Page | Parcel) -> bool:
    """Return whether nothing else was due when a piece was claimed."""
    return bool(piece.__dict__[_WAS_LAST])


def _claim(model: type[Piece], where: str, values: list[Any], worker: str) -> Piece | None:
    now = dbclock.now()
    table = model._meta.db_table
    shared = ", ".join(f"{name}.{column}" for name, columns in _SHARED for column in columns)
    sql = _CANDIDATES.format(shared=shared, table=table, where=where, states=states("claim"), most=CANDIDATES)
    candidates = fetch(sql, [*values, now, now])
    for pk, fence, tries, *facts in candidates:
        if tries >= MAX_CLAIMS:
            change(
                f"UPDATE {table} SET state = %s, lease_until = 0, error = %s"
                f" WHERE id = %s AND fence = %s AND state IN {states('bury')} AND lease_until < %s",
                [following("bury"), f"claimed {tries} times without an end", pk, fence, now],
            )
            continue
        columns = _columns(model)
        take = _TAKE.format(table=table, columns=", ".join(columns), states=states("claim"))
        taken = fetch(take, [following("claim"), now + settings.LEASE_SECONDS, worker[:64], pk, fence, now])
        if taken:
            if len(candidates) == CANDIDATES or len({run for _, _, _, run, *_ in candidates}) > 1:
                # whose turn it is matters only to those who wait for theirs
                change("UPDATE delivery_run SET served_at = %s WHERE id = %s", [now, facts[0]])
            piece = _made(model, columns, taken[0], _run(facts))
            piece.__dict__[_WAS_LAST] = len(candidates) == 1
            return piece
        # the losing branch: another worker's UPDATE came first, so its fence is not ours; try the next
    return None


@lru_cache(maxsize=2)
def _columns(model: type[Page] | type[Parcel]) -> tuple[str, ...]:
    """Return the columns of a claimed piece; its counts are not read, a worker only writes them."""
    left_out = {*COUNTS, "error"}
    return tuple(field.attname for field in model._meta.concrete_fields if field.attname not in left_out)


def _made(model: type[Piece], columns: tuple[str, ...], row: Row, run: Run) -> Piece:
    piece = model(**dict(zip(columns, row, strict=True)))
    piece._state.adding, piece._state.db = False, "default"
    piece.run = run
    return piece


def _run(facts: list[Any]) -> Run:
    """Return a run with its application and category, shared by all its pages: nobody may change it."""
    return _kept(facts[0], msgspec.msgpack.encode([str(fact) for fact in facts]))


@lru_cache(maxsize=512)
def _kept(pk: int, facts: bytes) -> Run:
    return Run.objects.select_related("application", "category").get(pk=pk)


def _mine(piece: Page | Parcel) -> tuple[str, list[Any]]:
    """Return the condition that a piece is still its worker's."""
    return f"id = %s AND fence = %s AND state IN {states('close')}", [piece.pk, piece.fence]


def _write(piece: Page | Parcel, assigned: dict[str, Any], more: str = "") -> None:
    """Write columns of a piece that is still ours; raises `LeaseLostError`."""
    where, mine = _mine(piece)
    sets = ", ".join(f"{column} = %s" for column in assigned)
    sql = f"UPDATE {piece._meta.db_table} SET {sets}{more} WHERE {where}"
    if not change(sql, [*assigned.values(), *mine]):
        raise LeaseLostError


def renew(piece: Page | Parcel) -> None:
    """Prolong the lease; raises `LeaseLostError` when the piece is no longer ours."""
    _write(piece, {"lease_until": dbclock.now() + settings.LEASE_SECONDS})


def fail(piece: Page | Parcel, error: str, *, counts: bool = True) -> str:
    """Give back a piece whose work failed, with `error` noted; return the state it is in then.

    It is due again after a random wait that doubles with each try; after `MAX_CLAIMS` tries it is
    dead. With `counts` false the try is not counted: what failed was something else than the piece.
    Raises `LeaseLostError`.
    """
    dead = counts and piece.tries >= MAX_CLAIMS
    state = following("bury" if dead else "put_back")
    due = dbclock.now() + backoff(piece.tries)
    noted = error[-ERROR_CHARACTERS:]
    _write(
        piece,
        {"state": state, "due_at": due, "lease_until": 0, "error": noted},
        "" if counts else ", tries = tries - 1",
    )
    return state


def take_dead(piece: Piece, worker: str) -> Piece | None:
    """Claim a piece that was set aside as dead, to end it by hand; None when it is dead no more."""
    taken = change(
        f"UPDATE {piece._meta.db_table} SET state = %s, fence = fence + 1, lease_until = %s, worker = %s"
        f" WHERE id = %s AND state IN {states('take_dead')}",
        [following("take_dead"), dbclock.now() + settings.LEASE_SECONDS, worker[:64], piece.pk],
    )
    if not taken:
        return None
    return type(piece)._default_manager.select_related("run__application", "run__category").get(pk=piece.pk)


def bury(piece: Page | Parcel, error: str) -> None:
    """Set a claimed piece aside as dead, with `error` noted; raises `LeaseLostError`."""
    _write(piece, {"state": following("bury"), "lease_until": 0, "error": error[-ERROR_CHARACTERS:]})


def backoff(tries: int) -> float:
    """Return a random wait in seconds after so many tries, between half and all of what doubles with each."""
    longest = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(tries, 30))
    return random.uniform(longest / 2, longest)


def close(piece: Page | Parcel, **values: object) -> None:
    """Close the piece with its counts, inside the caller's transaction; raises `LeaseLostError`.

    `values` are the columns to write. What it carried is dropped with it.
    """
    for name in COUNTS:
        if name in values:
            values[name] = to_text(values[name])
    carried = "people" if isinstance(piece, Page) else "body"
    ended = {"state": following("close"), "closed_at": dbclock.now(), "lease_until": 0}
    _write(piece, {**ended, **values}, f", {carried} = NULL")


def put_back(piece: Page | Parcel, *, due_at: float, **values: object) -> None:
    """Give the piece back untouched, to be claimed again from `due_at` on; raises `LeaseLostError`."""
    # what was only put off has not been tried
    waiting = {"state": following("put_back"), "due_at": due_at, "lease_until": 0}
    _write(piece, {**waiting, **values}, ", tries = tries - 1")
