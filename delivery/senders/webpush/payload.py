"""A content in the words of our service worker, and what the push service is asked: how long, how urgent, whose place.

Sources: RFC 8030 sections 5.2 to 5.4; what the worker shows is the Notifications API's (notifications.spec.whatwg.org).
"""

import hashlib
import time
from base64 import urlsafe_b64encode
from typing import Any

from delivery.content import Content
from delivery.senders import web_notice
from delivery.senders.contract import Envelope

LONGEST_TTL = 2_419_200
"""Seconds; four weeks, which every known service keeps a message for."""
TOPIC_CHARACTERS = 32


def document(content: Content, envelope: Envelope, *, notification: str) -> dict[str, Any]:
    """Return what the service worker is told of a notification; an empty field is left out."""
    said: dict[str, Any] = {"nh": {"id": notification, "run": envelope.run}}
    for name in ("title", "body", "image", "link"):
        if value := getattr(content, name):
            said[name] = value
    said["tag"] = envelope.tag or notification
    if content.badge is not None:
        said["badge"] = content.badge
    if content.data:
        said["data"] = content.data
    options = web_notice.options(content)
    if options:
        said["options"] = options
    return said


def headers_of(
    content: Content,
    envelope: Envelope,
    *,
    notification: str,
    expires_at: float | None,
    now: float | None = None,
) -> list[str]:
    """Return the header lines of a message but the authorization; no `Expect: 100-continue`.

    The time to live is what is left until `expires_at` (epoch seconds), so it alone differs when it is sent again.
    """
    left = LONGEST_TTL
    if expires_at is not None:
        left = max(0, min(LONGEST_TTL, int(expires_at - (time.time() if now is None else now))))
    return [
        f"ttl: {left}",
        f"urgency: {web_notice.urgency(content, envelope.lane)}",
        f"topic: {topic(envelope.tag or notification)}",
        "content-encoding: aes128gcm",
        "content-type: application/octet-stream",
        "Expect:",
    ]


def topic(identity: str) -> str:
    """Return a display identity as a Topic: 32 characters of base64url, a UUID's digits as they are.

    A message with the same one replaces one that waits. Apple takes only what can be decoded.
    """
    digits = identity.replace("-", "")
    if len(digits) == TOPIC_CHARACTERS and digits.isalnum() and digits.isascii():
        return digits
    return urlsafe_b64encode(hashlib.sha256(identity.encode()).digest()[:24]).decode()
