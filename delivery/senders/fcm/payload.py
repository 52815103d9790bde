"""A content in FCM's words: pyfcm builds it once, with gaps for what differs between messages.

A message for one device holds the block of that device's platform and no other, one for a topic holds all.
Source: the REST reference of `projects.messages` (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).
"""

import time
from typing import Any

import msgspec

from delivery.content import Content
from delivery.senders import web_notice
from delivery.senders.aps import aps, collapse_id
from delivery.senders.contract import Envelope
from delivery.senders.fcm.account import Account
from delivery.senders.fcm.options import CONFIG_FIELDS
from delivery.senders.template import Fill, Marks
from devices.fcm_addresses import Address

LONGEST_TTL = 2_419_200
"""Seconds; four weeks."""
LIMIT = 4_096
"""Bytes of notification and data (firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type)."""
TOPIC_LIMIT = 2_048
"""The same for topics and conditions (firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode)."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class ContentError(ValueError):
    """A content that cannot be said to FCM; the message is a reason code."""


def parameters(
    content: Content,
    envelope: Envelope,
    *,
    token: str,
    notification: str,
    platform: str = "android",
    now: float | None = None,
    ttl: str = "",
) -> dict[str, Any]:
    """Return a message as parameters of pyfcm's `parse_payload`; raises `ContentError`.

    The time to live is what is left until the envelope's expiry, so it alone differs when a message
    is sent again; `ttl` stands in its place where it is given.
    """
    data = dict(content.data)
    if content.link:
        data["link"] = content.link
    data["nh_id"] = notification
    data["nh_run"] = envelope.run
    words: dict[str, Any] = {
        "fcm_token": token,
        "notification_title": content.title,
        "notification_body": content.body,
        "notification_image": content.image,
        "data_payload": data,
    }
    if envelope.expires_at is not None:
        ttl = ttl or time_to_live(envelope.expires_at, time.time() if now is None else now, platform)
    else:
        ttl = ""
    identity = envelope.tag or notification
    if platform == "ios":
        words["apns_config"] = _apns(content, envelope, identity, ttl)
        if content.ios.get("push_type") == "background":
            words.update(notification_title="", notification_body="", notification_image="")
    elif platform == "web":
        words["webpush_config"] = _webpush(content, envelope, identity, ttl)
        if content.badge is not None:
            data.setdefault("badge", str(content.badge))  # the Notifications API has no number
    else:
        words["android_config"] = _android(content, envelope, identity, ttl)
    return words


def parameters_of_many(
    content: Content, envelope: Envelope, *, address: Address, notification: str, now: float
) -> dict[str, Any]:
    """Return a message to a topic or condition as parameters of pyfcm's `parse_payload`, for devices of every platform.

    Raises `ContentError`.
    """
    words = parameters(content, envelope, token="", notification=notification, platform="android", now=now)
    del words["fcm_token"]
    words["topic_name" if address.field == "topic" else "topic_condition"] = address.value
    identity = envelope.tag or notification
    words["apns_config"] = _apns(content, envelope, identity, time_to_live(envelope.expires_at, now, "ios"))
    words["webpush_config"] = _webpush(
        content, envelope, identity, time_to_live(envelope.expires_at, now, "web")
    )
    return words


def _android(content: Content, envelope: Envelope, identity: str, ttl: str) -> dict[str, Any]:
    config: dict[str, Any] = {"priority": "HIGH" if envelope.urgent else "NORMAL"}
    if ttl:
        config["ttl"] = ttl
    if envelope.collapse_key:
        config["collapse_key"] = envelope.collapse_key
    notice: dict[str, Any] = {"tag": identity}
    if content.sound:
        notice["sound"] = content.sound
    if content.badge is not None:
        notice["notification_count"] = content.badge
    for name, value in content.android.items():
        (config if name in CONFIG_FIELDS else notice)[name] = value
    if content.title or content.body:
        config["notification"] = notice
    return config


def _apns(content: Content, envelope: Envelope, identity: str, ttl: str) -> dict[str, Any]:
    """Return the block for Apple's devices; the push types with tokens of their own need APNs itself."""
    kind = content.ios.get("push_type") or "alert"
    if kind not in ("alert", "background"):
        raise ContentError("push_type_needs_apns")
    background = kind == "background"
    chosen = content.ios.get("collapse_id")
    headers = {
        "apns-push-type": kind,
        "apns-priority": "5"
        if background
        else str(content.ios.get("priority") or (10 if envelope.urgent else 5)),
        "apns-collapse-id": collapse_id(chosen)
        if chosen
        else collapse_id(identity)
        if envelope.tag
        else identity,
    }
    if ttl:
        headers["apns-expiration"] = ttl
    config: dict[str, Any] = {
        "headers": headers,
        "payload": {
            "aps": aps(content, shows=bool(content.subtitle) or _localized(content), background=background)
        },
    }
    if content.ios.get("fcm_options"):
        config["fcm_options"] = content.ios["fcm_options"]
    return config


def _localized(content: Content) -> bool:
    """Return whether the alert says what FCM's own notification cannot."""
    return any(
        name in content.ios for name in ("title_loc_key", "subtitle_loc_key", "loc_key", "launch_image")
    )


def _webpush(content: Content, envelope: Envelope, identity: str, ttl: str) -> dict[str, Any]:
    headers = {"Urgency": web_notice.urgency(content, envelope.lane)}
    if ttl:
        headers["TTL"] = ttl
    config: dict[str, Any] = {"headers": headers}
    if content.title or content.body:
        config["notification"] = {"tag": identity, **web_notice.options(content)}
    options = dict(content.web.get("fcm_options") or {})
    if content.link.startswith("https://"):
        options["link"] = content.link
    if options:
        config["fcm_options"] = options
    return config


def time_to_live(expires_at: float | None, now: float, platform: str = "android") -> str:
    """Return what is left at `now` as FCM takes it; to Apple's devices the end itself is said."""
    if expires_at is None:
        return ""
    if platform == "ios":
        return str(int(expires_at))
    left = max(0, min(LONGEST_TTL, int(expires_at - now)))
    return str(left) if platform == "web" else f"{left}s"


def weight(request: bytes) -> int:
    """Return the bytes of a request that FCM counts: data and what is shown, without token and settings.

    FCM does not say how it counts; this is never less than keys and values by themselves.
    """
    message = _decode(request)["message"]
    parts = [message.get("notification"), message.get("data")]
    parts += [message.get("android", {}).get("notification"), message.get("apns", {}).get("payload")]
    parts += [message.get("webpush", {}).get("notification")]
    return sum(len(_encode(part)) for part in parts if part)


def template(account: Account, content: Content, envelope: Envelope) -> Fill:
    """Return the payload of a content, to be filled with a token and a notification's id.

    Raises what pyfcm raises for values that are not JSON.
    """
    marks = Marks("token", "notification")
    values = parameters(content, envelope, token=marks["token"], notification=marks["notification"])
    return marks.template(account.payload(**values))
