"""Dead letters: pages and parcels set aside after too many tries. Somebody requeues them, or gives them up.

Giving up closes the balances: the messages of a parcel end `failed`, the people of a page are
stopped, both with the reason `given_up`, and the shard behind a page goes on.
"""

import time
import traceback
from collections.abc import Sequence

import msgspec
import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from delivery import bell, claims, dbclock
from delivery.log.store import NewOutcome, log_store
from delivery.models import Page, Parcel
from delivery.outbound import version_of
from delivery.outgoing import Outgoing, decode
from delivery.planning import work_page
from delivery.policy import Candidate, Circumstances, Drop

log = structlog.get_logger(__name__)

GIVEN_UP = "given_up"


class NotDeadError(Exception):
    """It is dead no more: somebody requeued it, or gave it up, or its run was cancelled."""


class CannotGiveUpError(Exception):
    """Not even who is on the page can be read; says why, and what to do instead."""


def requeue(piece: Page | Parcel, *, by: str) -> None:
    """Let a dead piece be tried again, as often as a new one; raises `NotDeadError`."""
    before, after = claims.MOVES["requeue"]
    dead = type(piece)._default_manager.filter(pk=piece.pk, state__in=before)
    if not dead.update(state=after, tries=0, due_at=dbclock.now(), lease_until=0):
        raise NotDeadError(_("It is not set aside any more."))
    log.warning("deadletter.requeued", piece=str(piece), run=str(piece.run.uid), by=by)
    stage = piece.provider if isinstance(piece, Parcel) else "plan"
    transaction.on_commit(lambda: bell.ring(stage, piece.lane))


def give_up(piece: Page | Parcel, *, by: str) -> int:
    """End a dead piece for good; return how many messages (of a parcel) or people (of a page) that is.

    Raises `NotDeadError` and, for a page that cannot be read, `CannotGiveUpError`.
    """
    if isinstance(piece, Parcel):
        parcel = claims.take_dead(piece, by)
        if parcel is None:
            raise NotDeadError(_("It is not set aside any more."))
        _end_messages(parcel)
        ended = parcel.size
    else:
        page = claims.take_dead(piece, by)
        if page is None:
            raise NotDeadError(_("It is not set aside any more."))
        ended = _stop_people(page)
    log.warning("deadletter.given_up", piece=str(piece), run=str(piece.run.uid), ended=ended, by=by)
    return ended


def _end_messages(parcel: Parcel) -> None:
    """Write the outcome of each message that can still be read, and close the parcel."""
    try:
        outgoing = decode(bytes(parcel.body or b"\x90"))
    except msgspec.DecodeError:
        # nobody can say whose the messages were; the counts still close
        outgoing = Outgoing()
    log_store().write_outcomes(
        [
            NewOutcome(
                target.subscriber,
                target.subscriber_uid,
                target.notification,
                target.device_uid,
                "failed",
                GIVEN_UP,
            )
            for target in outgoing.targets
        ],
        run=parcel.run.uid,
        version=version_of(parcel),
        at=time.time(),
    )
    claims.close(parcel, failed=parcel.size, reasons={GIVEN_UP: parcel.size})


def _stop_people(page: Page) -> int:
    def everybody(candidates: Sequence[Candidate], circumstances: Circumstances) -> list[Drop]:
        return [Drop(GIVEN_UP, {"page": page.pk})] * len(candidates)

    try:
        work_page(page, stages=(everybody,))
    except claims.LeaseLostError:
        raise NotDeadError(_("It took too long, and somebody else has it now.")) from None
    except Exception as error:
        claims.bury(page, traceback.format_exc())
        raise CannotGiveUpError(
            _("Who is on the page cannot be read (%(name)s: %(error)s); cancel the run instead.")
            % {"name": type(error).__name__, "error": error}
        ) from error
    page.refresh_from_db()
    return page.stopped
