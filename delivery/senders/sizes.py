"""How many bytes a message is to its provider, without a credential: for those who ask before anything is sent."""

import msgspec

from delivery.content import Content
from delivery.senders.apns import payload as apns
from delivery.senders.contract import Envelope
from delivery.senders.fcm import payload as fcm
from delivery.senders.fcm.builder import Builder

LIMIT = 4_096
"""Bytes; the most that FCM and APNs take."""


_builder = Builder()


def size_of(provider: str, content: Content, envelope: Envelope, *, token: str, notification: str) -> int:
    """Return the bytes of a message's payload at `fcm` or `apns`; 0 for what cannot be said to the provider."""
    try:
        if provider == "fcm":
            words = fcm.parameters(content, envelope, token=token, notification=notification)
            return len(_builder.payload(**words))
        return len(msgspec.json.encode(apns.document(content, envelope, notification=notification)))
    except (TypeError, ValueError):
        return 0
