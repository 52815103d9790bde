"""A content in APNs's words: apns2 builds it once, with a gap for the notification's id.

Sources: "Generating a remote notification" and "Pushing background updates to your App"
(developer.apple.com/documentation/usernotifications), and the pages of the push types that `options` names.
"""

from typing import Any

import msgspec

from delivery.content import Content
from delivery.senders.apns.options import PUSH_TYPES, PushType
from delivery.senders.aps import aps
from delivery.senders.contract import Envelope
from delivery.senders.template import Fill, Marks

OURS = frozenset({"aps", "nh"})
"""Keys of the payload that an app's own data may not take."""


class ContentError(ValueError):
    """A content that cannot be said to APNs; the message is a reason code."""


def push_type(content: Content) -> str:
    """Return the push type of a content."""
    return str(content.ios.get("push_type") or "alert")


def kind_of(content: Content) -> PushType:
    """Return what the push type of a content asks for; raises `ContentError` for one that there is not."""
    try:
        return PUSH_TYPES[push_type(content)]
    except KeyError:
        raise ContentError("invalid_push_type") from None


def limit(content: Content) -> int:
    """Return how many bytes the payload of a content may have."""
    return PUSH_TYPES.get(push_type(content), PUSH_TYPES["alert"]).limit


def document(content: Content, envelope: Envelope, *, notification: str, now: Any = 0) -> dict[str, Any]:
    """Return the payload of a notification; raises `ContentError` for data under one of our keys.

    `now` (epoch seconds) is the time of a live activity's state: of two the later stands.
    """
    taken = OURS.intersection(content.data)
    if taken:
        raise ContentError(f"reserved_data_key:{min(taken)}")
    name, kind = push_type(content), kind_of(content)
    if name == "mdm":
        # "The Mobile Device Management payload has no other keys than mdm" (Apple's MDM protocol reference).
        return {"mdm": content.ios.get("mdm", "")}
    payload: dict[str, Any] = {
        "aps": aps(content, shows=_shows(content, kind), background=name == "background")
    }
    if name == "liveactivity":
        payload["aps"].setdefault("timestamp", now)
    elif name in ("widgets", "controls"):
        payload["aps"] = {"content-changed": True}
    payload.update(content.data)
    if content.link:
        payload["link"] = content.link
    if content.image:
        payload["image"] = content.image
    payload["nh"] = {"id": notification, "run": envelope.run}
    return payload


def _shows(content: Content, kind: PushType) -> bool:
    """Return whether a person sees the texts: a running live activity is changed in silence unless it says `alert`."""
    if content.ios.get("event") in ("update", "end"):
        return bool(content.ios.get("alert"))
    return kind.shows


def template(content: Content, envelope: Envelope) -> Fill:
    """Return the payload of a content, to be filled with a notification's id; raises `ContentError`."""
    marks = Marks("notification")
    try:
        payload = msgspec.json.encode(document(content, envelope, notification=marks["notification"]))
    except (TypeError, UnicodeEncodeError) as error:
        raise ContentError("content_not_json") from error
    return marks.template(payload)
