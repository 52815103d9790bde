"""What Apple's devices are told, whoever brings it: the `aps` dictionary by apns2, and a notice's place on the screen.

Source: "Generating a remote notification" (developer.apple.com/documentation/usernotifications/
generating-a-remote-notification).
"""

import hashlib
import re
from typing import Any

from delivery.content import Content
from delivery.senders import apns2_import  # noqa: F401  (before apns2)

from apns2.payload import Payload, PayloadAlert  # isort: skip

_HEADER_TEXT = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")

ALERT_FIELDS = frozenset(
    {
        "title_loc_key",
        "title_loc_args",
        "subtitle_loc_key",
        "subtitle_loc_args",
        "loc_key",
        "loc_args",
        "launch_image",
    }
)
"""Options that stand in the alert."""
ELSEWHERE = ALERT_FIELDS | {
    "push_type", "priority", "collapse_id", "activity", "alert", "control", "mdm", "fcm_options",
}  # fmt: skip
"""Options that do not stand in `aps`."""


def aps(content: Content, *, shows: bool, background: bool) -> dict[str, Any]:
    """Return the `aps` dictionary: with the texts when it `shows` them, without anything to see in the `background`."""
    said = content.ios
    options = {name.replace("_", "-"): value for name, value in said.items() if name not in ELSEWHERE}
    sound, badge = options.pop("sound", content.sound or None), options.pop("badge", content.badge)
    if isinstance(sound, dict):
        sound = {
            "critical": int(sound.get("critical", 0)),
            "name": sound.get("name"),
            "volume": sound.get("volume", 1.0),
        }
    alert = None
    if shows:
        alert = PayloadAlert(
            title=content.title,
            title_localized_key=said.get("title_loc_key"),
            title_localized_args=said.get("title_loc_args"),
            subtitle=content.subtitle,
            subtitle_localized_key=said.get("subtitle_loc_key"),
            subtitle_localized_args=said.get("subtitle_loc_args"),
            body=content.body,
            body_localized_key=said.get("loc_key"),
            body_localized_args=said.get("loc_args"),
            launch_image=said.get("launch_image"),
        )
    found: dict[str, Any] = Payload(
        alert=alert if alert is not None and alert.dict() else None,
        badge=None if background else badge,
        sound=None if background else sound,
        category=options.pop("category", None),
        thread_id=options.pop("thread-id", None),
        url_args=options.pop("url-args", None),
        content_available=background or bool(options.pop("content-available", False)),
        # The app's extension fetches the image; it runs only for content that may be changed.
        mutable_content=bool(options.pop("mutable-content", shows and content.image)),
    ).dict()["aps"]
    options.pop("content-available", None)
    for name, value in options.items():
        found[name] = int(value) if isinstance(value, bool) else value
    return found


def collapse_id(identity: str) -> str:
    """Return a display identity as APNs takes it: at most 64 bytes of a header's characters.

    One that is not becomes its SHA-256, so that equal identities still replace each other.
    """
    if _HEADER_TEXT.fullmatch(identity):
        return identity
    return hashlib.sha256(identity.encode()).hexdigest()
