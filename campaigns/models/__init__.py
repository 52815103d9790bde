"""The rows of who hears what, and when."""

from campaigns.models.campaign import Approval, Campaign, CampaignVersion, TestDevice
from campaigns.models.delayed import Delayed, Entrance
from campaigns.models.event import Decision, Event, EventType, IdempotencyKey, Rule, Schedule
from campaigns.models.experiment import Experiment, Variant

__all__ = [
    "Approval",
    "Campaign",
    "CampaignVersion",
    "Decision",
    "Delayed",
    "Entrance",
    "Event",
    "EventType",
    "Experiment",
    "IdempotencyKey",
    "Rule",
    "Schedule",
    "TestDevice",
    "Variant",
]
