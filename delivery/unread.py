"""Badges that say how much their reader has not read: one question to the log for a page of people."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from delivery.browsing import LOOKED_THROUGH, MOST_UNREAD
from delivery.log.store import log_store
from delivery.models import Run
from delivery.policy import Candidate
from delivery.snapshot import Named
from devices.models import Application
from devices.person import Person


def unread_of(application: Application, person: Person) -> int:
    """Return a person's badge if they were told something new now."""
    new = Candidate(person, Named(person.id), bytes(16))
    return badges_of(application, [new])[person.uid]


def badges_of(application: Application, candidates: Sequence[Candidate]) -> dict[bytes, int]:
    """Return the badge of each who is told (by subscriber's uid): unread ones with this new one, 99 at most.

    What has been logged of these candidates already, by a page that is worked again, is not counted twice. Two queries.
    """
    told = {candidate.person.uid for candidate in candidates}
    kept = timezone.now() - timedelta(days=settings.LOG_DAYS)
    recalled = Run.objects.filter(application=application, recalled_at__gte=kept)
    before = log_store().unread(
        [UUID(bytes=uid) for uid in told],
        besides=[UUID(bytes=candidate.notification) for candidate in candidates],
        recalled=list(recalled.values_list("uid", flat=True)),
        limit=LOOKED_THROUGH,
    )
    found: dict[bytes, int] = dict.fromkeys(told, 0)
    for candidate in candidates:
        found[candidate.person.uid] += 1
    return {uid: min(new + before.get(UUID(bytes=uid), 0), MOST_UNREAD) for uid, new in found.items()}
