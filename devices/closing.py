"""Whose open lines must end: a note in the database, in the transaction of what ends them; every node reads the notes.

The room above holds the lines, and this one knows nothing of it. A note counts wherever the change was made, and with
Redis away.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from devices.models import Closing


def close_devices(uids: Iterable[UUID]) -> None:
    """Have the open lines of devices closed: they were retired, or have another subscriber now."""
    Closing.objects.bulk_create([Closing(device=uid) for uid in uids])


def close_subscriber(uid: UUID, *, before: datetime | None = None) -> None:
    """Have a subscriber's open lines closed: those whose tokens were issued before an instant, else all."""
    Closing.objects.create(subscriber=uid, before=before)


def close_keys(keys: Iterable[int]) -> None:
    """Have the lines closed whose tokens were signed with signing keys (primary keys)."""
    Closing.objects.bulk_create([Closing(signing_key=key) for key in keys])
