"""The rows of how a notification gets there."""

from delivery.models.alert import AlertNote, AlertRule, Incident
from delivery.models.hold import Hold, held
from delivery.models.log import Entry, Mark, Outcome, Receipt
from delivery.models.providers import Credential, Gate
from delivery.models.report import Goal, Heard, Recount, Tally
from delivery.models.run import Page, Parcel, Run, Shard, Stopped, WorkState

__all__ = [
    "AlertNote",
    "AlertRule",
    "Credential",
    "Entry",
    "Gate",
    "Goal",
    "Heard",
    "Hold",
    "Incident",
    "Mark",
    "Outcome",
    "Page",
    "Parcel",
    "Receipt",
    "Recount",
    "Run",
    "Shard",
    "Stopped",
    "Tally",
    "WorkState",
    "held",
]
