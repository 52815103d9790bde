"""What a content may say to Android alone, in FCM's words: its options, with the values that FCM takes.

Source: `AndroidConfig` and `AndroidNotification` of the REST reference (firebase.google.com/docs/reference/fcm/rest/v1/
projects.messages). What the hub says itself is not here: texts, `tag`, `ttl` (from the campaign's), `data`.
"""

from typing import Annotated, Literal

import msgspec

Label = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-zA-Z0-9\-_.~%]{1,50}$", description="1 to 50 of the characters a-z A-Z 0-9 - _ . ~ %"
    ),
]
"""firebase.google.com/docs/cloud-messaging/understand-delivery"""
Duration = Annotated[
    str, msgspec.Meta(pattern=r"^\d{1,6}(\.\d{1,9})?s$", description="seconds as protobuf writes them: 3.5s")
]
Text = Annotated[
    str, msgspec.Meta(min_length=1, max_length=1_000, description="a text of 1 to 1,000 characters")
]
Share = Annotated[float, msgspec.Meta(ge=0, le=1, description="a number from 0 to 1")]
Rgb = Annotated[str, msgspec.Meta(pattern=r"^#[0-9a-fA-F]{6}$", description="a colour as #1a2b3c")]
Picture = Annotated[
    str,
    msgspec.Meta(pattern=r"^https://", max_length=500, description="an address that begins with https://"),
]
Instant = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$",
        description="an instant in UTC as 2026-11-25T08:00:00Z",
    ),
]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="a whole number from 0")]


class _Options(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An object of options; an unknown name is refused."""


class Color(_Options):
    """An RGBA colour."""

    red: Share = 0.0
    green: Share = 0.0
    blue: Share = 0.0
    alpha: Share = 1.0


class LightSettings(_Options):
    """How the device's light blinks."""

    color: Color
    light_on_duration: Duration
    light_off_duration: Duration


class FcmOptions(_Options):
    """Options of the FCM SDK."""

    analytics_label: Label = ""


class Android(_Options):
    """The options of `android`."""

    priority: Literal["NORMAL", "HIGH"] | None = None
    collapse_key: Text | None = None
    restricted_package_name: Text | None = None
    direct_boot_ok: bool | None = None
    bandwidth_constrained_ok: bool | None = None
    restricted_satellite_ok: bool | None = None
    fcm_options: FcmOptions | None = None
    # in the notification
    channel_id: Text | None = None
    icon: Text | None = None
    color: Rgb | None = None
    sound: Text | None = None
    image: Picture | None = None
    click_action: Text | None = None
    title_loc_key: Text | None = None
    title_loc_args: list[str] | None = None
    body_loc_key: Text | None = None
    body_loc_args: list[str] | None = None
    ticker: Text | None = None
    sticky: bool | None = None
    event_time: Instant | None = None
    local_only: bool | None = None
    notification_priority: (
        Literal["PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"] | None
    ) = None
    notification_count: Count | None = None
    visibility: Literal["PRIVATE", "PUBLIC", "SECRET"] | None = None
    default_sound: bool | None = None
    default_vibrate_timings: bool | None = None
    default_light_settings: bool | None = None
    vibrate_timings: Annotated[list[Duration], msgspec.Meta(max_length=100)] | None = None
    light_settings: LightSettings | None = None
    proxy: Literal["ALLOW", "DENY", "IF_PRIORITY_LOWERED"] | None = None


CONFIG_FIELDS = frozenset(
    {
        "priority",
        "collapse_key",
        "restricted_package_name",
        "direct_boot_ok",
        "bandwidth_constrained_ok",
        "restricted_satellite_ok",
        "fcm_options",
    }
)
"""The options that stand in `AndroidConfig`; every other one stands in its notification."""
