"""What was heard and is still to be counted: one row for each time that receipts or events come.

The receipts themselves stand in the log before they stand here. A row that is lost costs a count until the run is
counted anew from the log (`manage.py recount`).
"""

import time
from collections.abc import Sequence
from uuid import UUID

import msgspec

from delivery.log.store import NewReceipt
from delivery.models import Heard


class Met(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event that is the goal of some runs: of an application (primary key), about a subscriber."""

    application: int
    external_id: str
    event_type: str
    at: float


def note_receipts(rows: Sequence[NewReceipt]) -> None:
    """Keep receipts to be counted, whichever run they belong to."""
    _keep(Heard.Kind.RECEIPTS, rows)


def note_events(met: Sequence[Met]) -> None:
    """Keep events to be counted as what runs have brought about, inside the caller's transaction."""
    _keep(Heard.Kind.EVENTS, met)


def _keep(kind: str, items: Sequence[NewReceipt] | Sequence[Met]) -> None:
    if items:
        Heard.objects.create(kind=kind, body=msgspec.msgpack.encode(items), created_at=time.time())


_receipts = msgspec.msgpack.Decoder(list[NewReceipt])
_met = msgspec.msgpack.Decoder(list[Met])


def receipts_of(row: Heard) -> list[NewReceipt]:
    """Return the receipts of a row; raises `msgspec.DecodeError`."""
    return _receipts.decode(bytes(row.body)) if row.kind == Heard.Kind.RECEIPTS else []


def events_of(row: Heard) -> list[Met]:
    """Return the events of a row; raises `msgspec.DecodeError`."""
    return _met.decode(bytes(row.body)) if row.kind == Heard.Kind.EVENTS else []


NOBODY = UUID(int=0)
"""The device of what a person did elsewhere, as a conversion."""
