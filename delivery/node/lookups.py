"""What a node asks the databases about its devices, for all that ask at the same time together."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from django.conf import settings

from delivery import positions, reading, receipts
from delivery.log import body as bodies
from delivery.node.connection import Piece
from delivery.node.database import blocking
from delivery.node.together import Together
from devices import tokens
from devices.models import Device

REPLAY_ENTRIES = 100


class OriginError(Exception):
    """A browser's page that this application does not serve."""


class Replay(msgspec.Struct, frozen=True):
    """A page of a log as one device sees it; `last` is the position to go on from while there is `more`."""

    pieces: list[Piece]
    last: bytes
    more: bool


def _identify(shown: list[tuple[str, str]]) -> list[tokens.Identity | Exception]:
    found: list[tokens.Identity | Exception] = []
    verified = tokens.verify_many([token for token, _ in shown])
    for (_, origin), one in zip(shown, verified, strict=True):
        if isinstance(one, tokens.TokenError):
            found.append(one)
            continue
        identity, origins = one
        if origin and origins and origin not in origins:
            found.append(OriginError(f"{origin} is not among the application's origins."))
        else:
            found.append(identity)
    return found


def _cursors(devices: list[UUID]) -> list[bytes]:
    rows = Device.objects.filter(uid__in=devices).values_list("uid", "acknowledged", "registered_at")
    found = {uid: _cursor(acknowledged, registered_at) for uid, acknowledged, registered_at in rows}
    return [found.get(device, positions.START) for device in devices]


def _cursor(acknowledged: str, registered_at: datetime) -> bytes:
    if acknowledged:
        return positions.decode(acknowledged)
    return positions.floor(registered_at.timestamp() - positions.COMMIT_WINDOW)


def _replay(asked: list[tuple[UUID, str, bytes]]) -> list[Replay | Exception]:
    answers: list[Replay | Exception] = []
    for one in reading.read_many(asked, limit=REPLAY_ENTRIES):
        if isinstance(one, Exception):
            answers.append(one)
            continue
        pieces = [
            (UUID(entry.id).bytes, place, bodies.to_json(entry))
            for entry, place in zip(one.entries, one.places, strict=True)
        ]
        answers.append(Replay(pieces, one.last, one.more))
    return answers


identify: Together[tuple[str, str], tokens.Identity] = Together(_identify, most=200)
"""Return whose device a token speaks for, asked with the page's origin; raises `TokenError` and `OriginError`."""

durable_cursor: Together[UUID, bytes] = Together(_cursors, most=200)
"""Return where a device that keeps no cursor goes on: behind what it acknowledged, else from its registration."""

replay: Together[tuple[UUID, str, bytes], Replay] = Together(
    _replay, most=50, per_second=settings.REPLAYS_PER_SECOND
)
"""Return what a subscriber's log holds for a platform behind a position."""


@blocking
def record(subscriber: UUID, device: UUID, ids: Sequence[UUID], kind: str) -> None:
    """Store a receipt; raises `receipts.ReceiptError`."""
    receipts.record(subscriber, device, ids, kind)
