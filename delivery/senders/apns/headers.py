"""The header lines of an APNs request: topic by push type, priority, expiry and the place on the screen.

Source: "Sending notification requests to APNs" (developer.apple.com/documentation/usernotifications/
sending-notification-requests-to-apns).
"""

from delivery.content import Content
from delivery.senders.apns.options import PushType
from delivery.senders.apns.payload import push_type
from delivery.senders.aps import collapse_id
from delivery.senders.contract import Envelope


def lines(
    content: Content, kind: PushType, *, topic: str, urgent: bool, expires_at: float | None
) -> list[str]:
    """Return the lines that all messages of equal options and end have; no `Expect: 100-continue`."""
    priority = kind.priority or content.ios.get("priority") or (10 if urgent else 5)
    found = [
        f"apns-topic: {topic}{kind.suffix}",
        f"apns-push-type: {push_type(content)}",
        f"apns-priority: {priority}",
        "content-type: application/json",
        "Expect:",
    ]
    if kind.immediate:
        found.append("apns-expiration: 0")
    elif expires_at is not None:
        found.append(f"apns-expiration: {int(expires_at)}")
    return found


def place(content: Content, envelope: Envelope) -> str:
    """Return the display identity that the campaign chose, empty for the notification's own."""
    chosen = content.ios.get("collapse_id") or envelope.tag
    return collapse_id(chosen) if chosen else ""
