"""The admin pages of whom we can reach: applications, their staff and keys, people, devices and segments."""

from devices.admin.application import ApplicationAdmin
from devices.admin.audit import AuditEntryAdmin
from devices.admin.imports import ImportAdmin
from devices.admin.keys import ApiKeyAdmin, SigningKeyAdmin
from devices.admin.members import MembershipAdmin
from devices.admin.people import CategoryAdmin, DeviceAdmin, SubscriberAdmin
from devices.admin.segment import SegmentAdmin
from devices.admin.users import UserAdmin

__all__ = [
    "ApiKeyAdmin",
    "ApplicationAdmin",
    "AuditEntryAdmin",
    "CategoryAdmin",
    "DeviceAdmin",
    "ImportAdmin",
    "MembershipAdmin",
    "SegmentAdmin",
    "SigningKeyAdmin",
    "SubscriberAdmin",
    "UserAdmin",
]
