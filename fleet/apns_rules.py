"""Apple's rules for one request: its headers and its payload.

Source: "Sending notification requests to APNs" and "Handling notification responses from APNs",
developer.apple.com/documentation/usernotifications.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

MOST_COLLAPSE_ID = 64
MOST_PAYLOAD = 4096
MOST_VOIP_PAYLOAD = 5120

# reason: HTTP status
REASONS: dict[str, int] = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "BadCertificate": 403,
    "BadCertificateEnvironment": 403,
    "BadEnvironmentKeyInToken": 403,
    "ExpiredProviderToken": 403,
    "Forbidden": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "UnrelatedKeyIdInToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}

# push type: what its topic ends with after the app's bundle identifier
PUSH_TYPES: dict[str, str] = {
    "alert": "",
    "background": "",
    "location": ".location-query",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "mdm": "",
    "liveactivity": ".push-type.liveactivity",
    "pushtotalk": ".voip-ptt",
    "widgets": ".push-type.widgets",
    "controls": ".push-type.controls",
}
_NEEDS_APS = frozenset({"alert", "background", "liveactivity"})
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}").fullmatch
_SECONDS = re.compile(r"\d{1,12}").fullmatch


class ApnsError(Exception):
    """A request APNs refuses; `reason` is a key of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Nh(msgspec.Struct, frozen=True, gc=False):
    id: str = ""
    run: str = ""
    at: int = 0


class _Alert(msgspec.Struct, gc=False):
    title: str = ""
    body: str = ""


class _Aps(msgspec.Struct, gc=False):
    alert: str | _Alert | None = None
    badge: Any = None
    sound: Any = None
    content_available: int = msgspec.field(name="content-available", default=0)


class Payload(msgspec.Struct, gc=False):
    """The parts of a payload the fleet reads; everything else is the app's."""

    aps: _Aps | None = None
    nh: _Nh = _Nh()


_decode = msgspec.json.Decoder(Payload).decode


@lru_cache(maxsize=4096)
def check_headers(push_type: str, priority: str | None, expiration: str | None) -> None:
    """Raise `ApnsError` for headers that Apple refuses.

    A missing push type is refused: Apple calls it required and answers as it likes without it.
    """
    if push_type not in PUSH_TYPES:
        raise ApnsError("InvalidPushType")
    if priority is not None and priority not in ("1", "5", "10"):
        raise ApnsError("BadPriority")
    if push_type == "background" and priority in (None, "10"):  # a missing one means 10
        raise ApnsError("BadPriority")
    if expiration is not None and not _SECONDS(expiration):
        raise ApnsError("BadExpirationDate")


def check_message_id(message_id: str | None) -> None:
    """Raise `ApnsError` for an `apns-id` that is no UUID."""
    if message_id is not None and not _UUID(message_id):
        raise ApnsError("BadMessageId")


def check_collapse_id(identity: str) -> None:
    """Raise `ApnsError` for an `apns-collapse-id` of too many bytes."""
    if len(identity) * 4 > MOST_COLLAPSE_ID and len(identity.encode()) > MOST_COLLAPSE_ID:
        raise ApnsError("BadCollapseId")


def check_repeated(names: tuple[str, ...]) -> None:
    """Raise `ApnsError` where one of APNs' own headers came more than once."""
    if any(name == "authorization" or name.startswith("apns-") for name in names):
        raise ApnsError("DuplicateHeaders")


@lru_cache(maxsize=4096)
def app_of_topic(topic: str | None, push_type: str, allowed: tuple[str, ...]) -> str:
    """Return the bundle identifier of an `apns-topic` that the key may send to. Raises `ApnsError`."""
    if not topic:
        raise ApnsError("MissingTopic")
    if topic in allowed and not PUSH_TYPES[push_type]:
        return topic
    if not _TOPIC(topic):
        raise ApnsError("BadTopic")
    suffix = PUSH_TYPES[push_type]
    app = topic.removesuffix(suffix) if suffix else topic
    if app not in allowed:
        raise ApnsError("TopicDisallowed")
    if suffix and app == topic:
        raise ApnsError("BadTopic")
    return app


def checked_payload(body: bytes, push_type: str) -> Payload:
    """Return the payload. Raises `ApnsError`; what is no JSON object counts as empty."""
    if not body:
        raise ApnsError("PayloadEmpty")
    if len(body) > (MOST_VOIP_PAYLOAD if push_type == "voip" else MOST_PAYLOAD):
        raise ApnsError("PayloadTooLarge")
    try:
        payload = _decode(body)
    except msgspec.ValidationError:
        payload = _foreign(body)
    except msgspec.MsgspecError as error:
        raise ApnsError("PayloadEmpty") from error
    if payload.aps is None and push_type in _NEEDS_APS:
        raise ApnsError("PayloadEmpty")
    return payload


def shown_text(payload: Payload) -> tuple[str, str]:
    """Return the title and the body that a phone shows."""
    alert = None if payload.aps is None else payload.aps.alert
    if alert is None:
        return "", ""
    return ("", alert) if isinstance(alert, str) else (alert.title, alert.body)


def _foreign(body: bytes) -> Payload:
    """Read a payload whose `nh` or `aps` has another shape than ours; APNs takes any."""
    raw = msgspec.json.decode(body)
    if not isinstance(raw, dict):
        raise ApnsError("PayloadEmpty")
    aps = raw.get("aps")
    if not isinstance(aps, dict):
        return Payload()
    alert = aps.get("alert")
    if isinstance(alert, dict):
        alert = _Alert(str(alert.get("title") or ""), str(alert.get("body") or ""))
    return Payload(aps=_Aps(alert=alert if isinstance(alert, str | _Alert) else None))
