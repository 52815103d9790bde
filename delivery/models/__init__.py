"""The rows of how a notification gets there."""

from delivery.models.hold import Hold, held
from delivery.models.log import Entry, Mark, Outcome, Receipt
from delivery.models.providers import Credential, Gate
from delivery.models.run import Page, Parcel, Run, Shard, Stopped, WorkState

__all__ = [
    "Credential",
    "Entry",
    "Gate",
    "Hold",
    "Mark",
    "Outcome",
    "Page",
    "Parcel",
    "Receipt",
    "Run",
    "Shard",
    "Stopped",
    "WorkState",
    "held",
]
