"""A content in FCM's words: pyfcm builds it once, with gaps for what differs between messages.

Source: the REST reference of `projects.messages` (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).
"""

import time
from typing import Any

from delivery.content import Content
from delivery.senders.contract import Envelope
from delivery.senders.fcm.account import Account
from delivery.senders.template import Fill, Marks

LONGEST_TTL = 2_419_200
"""Seconds; four weeks."""

ANDROID_FIELDS = frozenset(
    {
        "bandwidth_constrained_ok",
        "direct_boot_ok",
        "fcm_options",
        "restricted_package_name",
        "restricted_satellite_ok",
    }
)
"""The options that stand in `AndroidConfig`; every other one stands in its notification."""


def parameters(
    content: Content, envelope: Envelope, *, token: str, notification: str, now: float | None = None
) -> dict[str, Any]:
    """Return a message as parameters of pyfcm's `parse_payload`.

    The time to live is what is left until the envelope's expiry, so it alone differs when a message
    is sent again.
    """
    data = dict(content.data)
    if content.link:
        data["link"] = content.link
    data["nh_id"] = notification
    data["nh_run"] = envelope.run
    android: dict[str, Any] = {"priority": "HIGH" if envelope.urgent else "NORMAL"}
    if envelope.expires_at is not None:
        android["ttl"] = time_to_live(envelope.expires_at, time.time() if now is None else now)
    if envelope.collapse_key:
        android["collapse_key"] = envelope.collapse_key
    notice: dict[str, Any] = {"tag": envelope.tag or notification}
    if content.sound:
        notice["sound"] = content.sound
    if content.badge is not None:
        notice["notification_count"] = content.badge
    for name, value in content.android.items():
        (android if name in ANDROID_FIELDS else notice)[name] = value
    if content.title or content.body:
        android["notification"] = notice
    return {
        "fcm_token": token,
        "notification_title": content.title,
        "notification_body": content.body,
        "notification_image": content.image,
        "data_payload": data,
        "android_config": android,
    }


def time_to_live(expires_at: float, now: float) -> str:
    """Return what is left at `now`, as FCM takes it."""
    return f"{max(0, min(LONGEST_TTL, int(expires_at - now)))}s"


def template(account: Account, content: Content, envelope: Envelope) -> Fill:
    """Return the payload of a content, to be filled with a token and a notification's id.

    Raises what pyfcm raises for values that are not JSON.
    """
    marks = Marks("token", "notification")
    values = parameters(content, envelope, token=marks["token"], notification=marks["notification"])
    return marks.template(account.payload(**values))
