"""Gates: a provider's door for one application. Workers pass parcels by whose gate is not open; none sleeps."""

from datetime import UTC, datetime

import structlog
from django.utils import timezone

from delivery.models import Gate

log = structlog.get_logger(__name__)


def shut(application_id: int, provider: str, reason: str) -> None:
    """Shut a gate: no parcel starts until somebody opens it, as saving new credentials does."""
    _set(application_id, provider, Gate.State.SHUT, reason=reason[:200], until=None)
    log.error("gate.shut", application=application_id, provider=provider, reason=reason)


def slow(application_id: int, provider: str, *, until: float, reason: str) -> None:
    """Keep a gate closed until an instant (epoch seconds), as Retry-After asks; a shut one stays shut."""
    Gate.objects.get_or_create(application_id=application_id, provider=provider)
    Gate.objects.filter(application_id=application_id, provider=provider).exclude(
        state=Gate.State.SHUT
    ).update(
        state=Gate.State.SLOWED,
        until=datetime.fromtimestamp(until, UTC),
        reason=reason[:200],
        changed_at=timezone.now(),
    )


def open_(application_id: int, provider: str) -> None:
    """Open a gate and let its parcels go on."""
    from delivery import bell

    _set(application_id, provider, Gate.State.OPEN, reason="", until=None)
    bell.ring_due()


def state(application_id: int, provider: str) -> Gate:
    """Return a gate; one that was never touched is open."""
    found = Gate.objects.filter(application_id=application_id, provider=provider).first()
    return found or Gate(application_id=application_id, provider=provider)


def _set(application_id: int, provider: str, state: str, *, reason: str, until: datetime | None) -> None:
    Gate.objects.update_or_create(
        application_id=application_id,
        provider=provider,
        defaults={"state": state, "reason": reason, "until": until, "changed_at": timezone.now()},
    )
