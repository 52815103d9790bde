"""A content in APNs's words: apns2 builds it once, with a gap for the notification's id.

Source: "Generating a remote notification" (developer.apple.com/documentation/usernotifications/
generating-a-remote-notification).
"""

from typing import Any

import msgspec
from apns2.payload import Payload, PayloadAlert

from delivery.content import Content
from delivery.senders.contract import Envelope
from delivery.senders.template import Fill, Marks

OURS = frozenset({"aps", "nh"})
"""Keys of the payload that an app's own data may not take."""


class ContentError(ValueError):
    """A content that cannot be said to APNs; the message is a reason code."""


def document(content: Content, envelope: Envelope, *, notification: str) -> dict[str, Any]:
    """Return the payload of a notification; raises `ContentError` for data under one of our keys."""
    taken = OURS.intersection(content.data)
    if taken:
        raise ContentError(f"reserved_data_key:{min(taken)}")
    options = {name.replace("_", "-"): value for name, value in content.ios.items()}
    custom: dict[str, Any] = dict(content.data)
    if content.link:
        custom["link"] = content.link
    if content.image:
        custom["image"] = content.image
    custom["nh"] = {"id": notification, "run": envelope.run}
    alert = PayloadAlert(title=content.title, subtitle=content.subtitle, body=content.body)
    payload: dict[str, Any] = Payload(
        alert=alert if alert.dict() else None,
        badge=content.badge,
        sound=options.pop("sound", content.sound or None),
        category=options.pop("category", None),
        thread_id=options.pop("thread-id", None),
        content_available=bool(options.pop("content-available", False)),
        # The app's extension fetches the image; it runs only for content that may be changed.
        mutable_content=bool(options.pop("mutable-content", content.image)),
        custom=custom,
    ).dict()
    payload["aps"].update(options)
    return payload


def template(content: Content, envelope: Envelope) -> Fill:
    """Return the payload of a content, to be filled with a notification's id; raises `ContentError`."""
    marks = Marks("notification")
    try:
        payload = msgspec.json.encode(document(content, envelope, notification=marks["notification"]))
    except (TypeError, UnicodeEncodeError) as error:
        raise ContentError("content_not_json") from error
    return marks.template(payload)
