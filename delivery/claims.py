"""Who works on what: pages and parcels are claimed with a lease and a fence, by conditional UPDATE.

A claim counts the fence up; a commit must show the newest. A worker that died leaves a lease
that runs out; one that slept through its lease finds its fence old and may not commit.
"""

from typing import TypeVar

from django.conf import settings
from django.db.models import F, Q, QuerySet

from delivery import dbclock, gates
from delivery.models import Page, Parcel, Run, WorkState
from devices.models import Provider

OPEN = [WorkState.WAITING, WorkState.CLAIMED]
MAX_CLAIMS = 20
"""Claims after which a page or parcel is set aside as dead: it kills its workers or never fits its lease."""

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
    free = due.filter(state__in=OPEN, due_at__lte=now, lease_until__lt=now)
    candidates = free.order_by("run__served_at", "pk").values_list("pk", "fence", "run_id")[:8]
    for pk, fence, run_id in list(candidates):
        row = due.model._default_manager.filter(pk=pk, fence=fence, state__in=OPEN, lease_until__lt=now)
        if fence >= MAX_CLAIMS:
            row.update(state=WorkState.DEAD, error=f"claimed {fence} times without an end")
            continue
        lease = now + settings.LEASE_SECONDS
        if row.update(state=WorkState.CLAIMED, fence=F("fence") + 1, lease_until=lease, worker=worker):
            Run.objects.filter(pk=run_id).update(served_at=now)
            return due.model._default_manager.select_related("run__application", "run__category").get(pk=pk)
        # the losing branch: another worker's UPDATE came first, so its fence is not ours; try the next
    return None


def renew(piece: Page | Parcel) -> None:
    """Prolong the lease; raises `LeaseLostError` when the piece is no longer ours."""
    mine = type(piece)._default_manager.filter(pk=piece.pk, fence=piece.fence, state=WorkState.CLAIMED)
    if not mine.update(lease_until=dbclock.now() + settings.LEASE_SECONDS):
        raise LeaseLostError


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
    if not mine.update(**{"state": WorkState.WAITING, "due_at": due_at, "lease_until": 0, **values}):
        raise LeaseLostError
