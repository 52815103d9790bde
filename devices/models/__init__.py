"""The rows of whom we can reach."""

from devices.models.application import ApiKey, Application, Membership, Role, SigningKey
from devices.models.people import Category, Device, Platform, Preference, Provider, Subscriber
from devices.models.segment import Segment

__all__ = [
    "ApiKey",
    "Application",
    "Category",
    "Device",
    "Membership",
    "Platform",
    "Preference",
    "Provider",
    "Role",
    "Segment",
    "SigningKey",
    "Subscriber",
]
