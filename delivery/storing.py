"""Stores what somebody wrote as a provider's credentials; an application has at most two for each."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from delivery.credential_input import Written
from delivery.credentials import fingerprint
from delivery.models import Credential


class TwoStoredError(Exception):
    """Both places are taken; says what to do."""


def put(stored: Credential, written: Written, *, per_minute: int | None) -> None:
    """Fill a credential of an application and provider, new or not, with what was written; it is not saved.

    A new secret is good until the provider refuses it. Raises `TwoStoredError`.
    """
    if stored._state.adding:
        stored.slot = free_slot(stored.application_id, stored.provider)
    mark = fingerprint(written.secret)
    if mark != stored.fingerprint:
        stored.secret, stored.fingerprint, stored.stored_at = written.secret, mark, timezone.now()
        stored.refused_at, stored.refused_reason, stored.checked_at = None, "", None
    kept = {name: value for name, value in stored.settings.items() if name != "per_minute"}
    chosen: dict[str, Any] = {} if per_minute is None else {"per_minute": per_minute}
    stored.settings = {**kept, **written.settings, **chosen}
    stored.expires_at = written.expires_at or stored.expires_at


def free_slot(application_id: int, provider: str) -> int:
    """Return the place for another credential; raises `TwoStoredError`."""
    taken = set(
        Credential.objects.filter(application_id=application_id, provider=provider).values_list(
            "slot", flat=True
        )
    )
    free = [slot for slot in Credential.Slot.values if slot not in taken]
    if not free:
        raise TwoStoredError(
            _(
                "There are two of this provider already, the one in use and its successor; delete one of them first."
            )
        )
    return free[0]
