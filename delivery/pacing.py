"""When a run's pages may begin: in the run's window, and a throttled run's each in the next of its slots.

That holds whatever kind of page it is and whoever works it. Only throttled runs have a row that everybody writes, and
no faster than their rate.
"""

from django.conf import settings
from django.db import transaction

from delivery import claims
from delivery.models import Page, Run
from delivery.policy import throttle, window
from delivery.snapshot import Policy, decode_people

AT_ONCE = 0.05
"""Seconds; a slot no farther away than this has come."""


def take_slot(run: Run, policy: Policy, people: int, *, now: float) -> float:
    """Take the run's next slot for a page of `people`; return when it begins (epoch seconds)."""
    started = _started(run, now)
    with transaction.atomic():
        free_at = Run.objects.select_for_update().values_list("paced_until", flat=True).get(pk=run.pk)
        slot = throttle.slot(
            policy, free_at=free_at, now=now, people=people, started=started, zone=run.application.time_zone
        )
        Run.objects.filter(pk=run.pk).update(paced_until=slot.following)
    return slot.begins


def page_size(policy: Policy) -> int:
    """Return how many people a page of a run may hold."""
    return throttle.page_size(policy, settings.PAGE_PEOPLE)


def may_begin(page: Page, run: Run, policy: Policy, *, now: float) -> bool:
    """Return whether a claimed page may be worked now; if not it is put back until its slot, or its window.

    The people of a page that names them are told one by one when they may be (`delivery.policy.window`). Raises
    `claims.LeaseLostError`.
    """
    zone = run.application.time_zone
    opens = window.opening(policy, now, started=_started(run, now), zone=zone)
    if opens > now:
        if page.kind != Page.Kind.SHARD:
            return True
        begins = opens if not policy.rate else take_slot(run, policy, page_size(policy), now=now)
        claims.put_back(page, due_at=begins, paced=bool(policy.rate))
        return False
    if not policy.rate or page.paced:
        return True
    people = page_size(policy) if page.people is None else len(decode_people(bytes(page.people)))
    begins = take_slot(run, policy, people, now=now)
    if begins <= now + AT_ONCE:
        return True
    claims.put_back(page, due_at=begins, paced=True)
    return False


def _started(run: Run, now: float) -> float:
    return run.started_at.timestamp() if run.started_at else now
