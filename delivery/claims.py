"""Who works on what: pages and parcels are claimed with a lease and a fence, by conditional UPDATE.

A claim counts the fence up; a commit must show the newest. A worker that died leaves a lease
that runs out; one that slept through its lease finds its fence old and may not commit. Work that
failed waits a while, longer each time, and is set aside as dead after so many claims.
"""

import random
from typing import TypeVar

from django.conf import settings
from django.db.models import F, Q, QuerySet

from delivery import dbclock, gates
from delivery.models import Page, Parcel, Run, WorkState, held
from devices.models import Provider

OPEN = [WorkState.WAITING, WorkState.CLAIMED]
MAX_CLAIMS = 20
"""Claims after which a page or parcel is set aside as dead: it fails, kills its workers or never fits its lease."""
BACKOFF_BASE = 0.5
BACKOFF_CAP = 60.0
ERROR_CHARACTERS = 4_000

Piece = TypeVar("Piece", Page, Parcel)


class LeaseLostError(Exception):
    """Another worker has claimed this page or parcel since: leave it, commit nothing."""


def claim_page(lane: str, worker: str) -> Page | None:
    """Claim the due page of a lane whose (application, run) was served least recently."""
    due = Page.objects.filter(lane=lane, run__state=Run.State.RUNNING)
    return _claim(due, worker)


def claim_parcel(provider: str, lane: str, worker: str) -> Parcel | None:
    """Claim the due parcel of a provider and lane, past gates that are not open unless it is past its time."""
    due = Parcel.objects.filter(provider=provider, lane=lane, run__state=Run.State.RUNNING)
    barred = gates.barred(provider, lane) if provider != Provider.SOCKET else []
    if barred:  # asked once for all candidates
        due = due.filter(~Q(application_id__in=barred) | Q(expires_at__lte=dbclock.now()))
    return _claim(due, worker)


def _claim(due: QuerySet[Piece], worker: str) -> Piece | None:
    now = dbclock.now()
    free = due.filter(~held(), state__in=OPEN, due_at__lte=now, lease_until__lt=now)
    candidates = free.order_by("run__served_at", "pk").values_list("pk", "fence", "tries", "run_id")[:8]
    for pk, fence, tries, run_id in list(candidates):
        row = due.model._default_manager.filter(pk=pk, fence=fence, state__in=OPEN, lease_until__lt=now)
        if tries >= MAX_CLAIMS:
            row.update(state=WorkState.DEAD, lease_until=0, error=f"claimed {tries} times without an end")
            continue
        lease = now + settings.LEASE_SECONDS
        counted = {"fence": F("fence") + 1, "tries": F("tries") + 1}
        if row.update(state=WorkState.CLAIMED, lease_until=lease, worker=worker, **counted):
            Run.objects.filter(pk=run_id).update(served_at=now)
            return due.model._default_manager.select_related("run__application", "run__category").get(pk=pk)
        # the losing branch: another worker's UPDATE came first, so its fence is not ours; try the next
    return None


def renew(piece: Page | Parcel) -> None:
    """Prolong the lease; raises `LeaseLostError` when the piece is no longer ours."""
    mine = type(piece)._default_manager.filter(pk=piece.pk, fence=piece.fence, state=WorkState.CLAIMED)
    if not mine.update(lease_until=dbclock.now() + settings.LEASE_SECONDS):
        raise LeaseLostError


def fail(piece: Page | Parcel, error: str, *, counts: bool = True) -> str:
    """Give back a piece whose work failed, with `error` noted; return the state it is in then.

    It is due again after a random wait that doubles with each try; after `MAX_CLAIMS` tries it is
    dead. With `counts` false the try is not counted: what failed was something else than the piece.
    Raises `LeaseLostError`.
    """
    mine = type(piece)._default_manager.filter(pk=piece.pk, fence=piece.fence, state=WorkState.CLAIMED)
    dead = counts and piece.tries >= MAX_CLAIMS
    state = WorkState.DEAD if dead else WorkState.WAITING
    due = dbclock.now() + backoff(piece.tries)
    uncounted = {} if counts else {"tries": F("tries") - 1}
    noted = error[-ERROR_CHARACTERS:]
    if not mine.update(state=state, due_at=due, lease_until=0, error=noted, **uncounted):
        raise LeaseLostError
    return state


def take_dead(piece: Piece, worker: str) -> Piece | None:
    """Claim a piece that was set aside as dead, to end it by hand; None when it is dead no more."""
    row = type(piece)._default_manager.filter(pk=piece.pk, state=WorkState.DEAD)
    lease = dbclock.now() + settings.LEASE_SECONDS
    if not row.update(state=WorkState.CLAIMED, fence=F("fence") + 1, lease_until=lease, worker=worker[:64]):
        return None
    return type(piece)._default_manager.select_related("run__application", "run__category").get(pk=piece.pk)


def bury(piece: Page | Parcel, error: str) -> None:
    """Set a claimed piece aside as dead, with `error` noted; raises `LeaseLostError`."""
    mine = type(piece)._default_manager.filter(pk=piece.pk, fence=piece.fence, state=WorkState.CLAIMED)
    if not mine.update(state=WorkState.DEAD, lease_until=0, error=error[-ERROR_CHARACTERS:]):
        raise LeaseLostError


def backoff(tries: int) -> float:
    """Return a random wait in seconds after so many tries, between half and all of what doubles with each."""
    longest = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(tries, 30))
    return random.uniform(longest / 2, longest)


def close(piece: Page | Parcel, **values: object) -> None:
    """Close the piece with its counts, inside the caller's transaction; raises `LeaseLostError`.

    `values` are the columns to write. What it carried is dropped with it.
    """
    mine = type(piece)._default_manager.filter(pk=piece.pk, fence=piece.fence, state=WorkState.CLAIMED)
    carried = {"people": None} if isinstance(piece, Page) else {"body": None}
    if not mine.update(
        **{"state": WorkState.DONE, "closed_at": dbclock.now(), "lease_until": 0, **carried, **values}
    ):
        raise LeaseLostError


def put_back(piece: Page | Parcel, *, due_at: float, **values: object) -> None:
    """Give the piece back untouched, to be claimed again from `due_at` on; raises `LeaseLostError`."""
    mine = type(piece)._default_manager.filter(pk=piece.pk, fence=piece.fence, state=WorkState.CLAIMED)
    # what was only put off has not been tried
    uncounted = {"tries": F("tries") - 1}
    if not mine.update(
        **{"state": WorkState.WAITING, "due_at": due_at, "lease_until": 0, **uncounted, **values}
    ):
        raise LeaseLostError
