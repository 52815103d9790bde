"""The marketers' pages: campaigns, and the events and rules that send them."""

from campaigns.admin.campaign import CampaignAdmin
from campaigns.admin.event import EventAdmin, EventTypeAdmin
from campaigns.admin.experiment import ExperimentAdmin
from campaigns.admin.rule import RuleAdmin
from campaigns.admin.schedule import ScheduleAdmin
from campaigns.admin.test_device import TestDeviceAdmin

__all__ = [
    "CampaignAdmin",
    "EventAdmin",
    "EventTypeAdmin",
    "ExperimentAdmin",
    "RuleAdmin",
    "ScheduleAdmin",
    "TestDeviceAdmin",
]
