"""What a content may say to browsers alone: the options of a web notification, and how urgent it is.

Sources: `NotificationOptions` (notifications.spec.whatwg.org), with underscores; RFC 8030 section 5.3; for browsers
that are reached by FCM `WebpushFcmOptions` (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).
"""

from typing import Annotated, Literal

import msgspec

Address = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(https://|/)", max_length=500, description="an address that begins with https:// or /"
    ),
]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="a text of 1 to 200 characters")]
Label = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-zA-Z0-9\-_.~%]{1,50}$", description="1 to 50 of the characters a-z A-Z 0-9 - _ . ~ %"
    ),
]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=10_000, description="milliseconds from 0 to 10000")]
Epoch = Annotated[int, msgspec.Meta(ge=0, description="milliseconds since 1970")]


class _Options(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An object of options; an unknown name is refused."""


class Action(_Options):
    """A button; `navigate` is where it leads, without it the page hears of it."""

    action: Text
    title: Text
    icon: Address | None = None
    navigate: Address | None = None


class FcmOptions(_Options):
    """Options of the FCM SDK for the web."""

    analytics_label: Label = ""


class Web(_Options):
    """The options of `web`."""

    icon: Address | None = None
    badge: Address | None = None
    actions: Annotated[list[Action], msgspec.Meta(max_length=4)] | None = None
    dir: Literal["auto", "ltr", "rtl"] | None = None
    lang: Text | None = None
    renotify: bool | None = None
    require_interaction: bool | None = None
    silent: bool | None = None
    timestamp: Epoch | None = None
    vibrate: Annotated[list[Milliseconds], msgspec.Meta(max_length=100)] | None = None
    urgency: Literal["very-low", "low", "normal", "high"] | None = None
    fcm_options: FcmOptions | None = None
