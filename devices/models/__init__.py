"""The rows of whom we can reach."""

from devices.models.application import ApiKey, Application, Membership, Power, Role, SigningKey
from devices.models.audit import AppendOnlyError, AuditEntry
from devices.models.closing import Closing
from devices.models.facts import Fact, FactKind
from devices.models.hours import ApplicationHours, OpenHours
from devices.models.imports import Import, ImportPart
from devices.models.people import Category, Device, Platform, Preference, Provider, Subscriber
from devices.models.second_factor import SecondFactor
from devices.models.segment import Segment, SegmentMember, SegmentUse
from devices.models.staff import StaffSettings

__all__ = [
    "ApiKey",
    "AppendOnlyError",
    "Application",
    "ApplicationHours",
    "AuditEntry",
    "Category",
    "Closing",
    "Device",
    "Fact",
    "FactKind",
    "Import",
    "ImportPart",
    "Membership",
    "OpenHours",
    "Platform",
    "Power",
    "Preference",
    "Provider",
    "Role",
    "SecondFactor",
    "Segment",
    "SegmentMember",
    "SegmentUse",
    "SigningKey",
    "StaffSettings",
    "Subscriber",
]
