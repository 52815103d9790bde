"""What one of a subscriber's devices says to the others: live alone, past the log, as “play this on the TV”."""

import time
from collections.abc import Sequence
from uuid import UUID

import msgspec

from delivery import presence
from delivery.redis_client import client

MOST_BYTES = 4_096
"""Of a message's data as JSON."""
WINDOW, MOST = 10, 20
"""Messages that a device may send in so many seconds."""


class TooManyError(Exception):
    """A device says too much; it may go on after `seconds`."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"{MOST} messages in {WINDOW} s")


def size(data: object) -> int:
    """Return how many bytes a message's data has as JSON."""
    return len(msgspec.json.encode(data))


def send(source: UUID, targets: Sequence[UUID], data: object) -> list[bool]:
    """Write a message to the lines of some devices; return for each whether a live node holds it.

    Raises `TooManyError`, and what Redis raises. Nothing is kept for a device that is not there.
    """
    _count(source)
    if not targets:
        return []
    holders = presence.where([target.bytes for target in targets])
    presence.say(source, [target.bytes for target in targets], msgspec.json.encode(data), holders)
    return [bool(nodes) for nodes in holders]


def _count(source: UUID) -> None:
    now = time.time()
    key = f"nh:said:{source}:{int(now) // WINDOW}"
    with client().pipeline(transaction=False) as pipe:
        pipe.incr(key)
        pipe.expire(key, 2 * WINDOW)
        said, _ = pipe.execute()
    if said > MOST:
        raise TooManyError(max(1, round(WINDOW - now % WINDOW)))
