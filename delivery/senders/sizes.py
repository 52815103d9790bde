"""How many bytes a message is to its provider, without a credential: for those who ask before anything is sent."""

import msgspec
from pyfcm import FCMNotification

from delivery.content import Content
from delivery.senders.apns import payload as apns
from delivery.senders.contract import Envelope
from delivery.senders.fcm import payload as fcm

LIMIT = 4_096
"""Bytes; the most that FCM and APNs take."""


class _Builder(FCMNotification):  # type: ignore[misc]  # pyfcm has no types
    """pyfcm's payload builder alone: no account, nothing is sent with it."""

    def __init__(self) -> None:
        self.json_encoder = None


_builder = _Builder()


def size_of(provider: str, content: Content, envelope: Envelope, *, token: str, notification: str) -> int:
    """Return the bytes of a message's payload at `fcm` or `apns`; 0 for what cannot be said to the provider."""
    try:
        if provider == "fcm":
            words = fcm.parameters(content, envelope, token=token, notification=notification)
            return len(_builder.parse_payload(**words))
        return len(msgspec.json.encode(apns.document(content, envelope, notification=notification)))
    except (TypeError, ValueError):
        return 0
