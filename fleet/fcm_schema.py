"""The body of FCM's messages:send, field by field, as the reference of `projects.messages` lists it.

Source: "REST Resource: projects.messages", firebase.google.com/docs/reference/fcm/rest/v1/projects.messages.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Int = int | str  # proto3's JSON takes a number or its text


class _Strict(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Google refuses names it does not know."""


class Color(_Strict):
    red: float = 0
    green: float = 0
    blue: float = 0
    alpha: float = 0


class LightSettings(_Strict):
    color: Color | None = None
    light_on_duration: str | None = None
    light_off_duration: str | None = None


class FcmOptions(_Strict):
    analytics_label: str | None = None


class Notification(_Strict):
    title: str | None = None
    body: str | None = None
    image: str | None = None


class AndroidNotification(_Strict):
    title: str | None = None
    body: str | None = None
    icon: str | None = None
    color: str | None = None
    sound: str | None = None
    tag: str | None = None
    click_action: str | None = None
    body_loc_key: str | None = None
    body_loc_args: list[str] | None = None
    title_loc_key: str | None = None
    title_loc_args: list[str] | None = None
    channel_id: str | None = None
    ticker: str | None = None
    sticky: bool | None = None
    event_time: str | None = None
    local_only: bool | None = None
    notification_priority: (
        Literal[
            "PRIORITY_UNSPECIFIED",
            "PRIORITY_MIN",
            "PRIORITY_LOW",
            "PRIORITY_DEFAULT",
            "PRIORITY_HIGH",
            "PRIORITY_MAX",
        ]
        | None
    ) = None
    default_sound: bool | None = None
    default_vibrate_timings: bool | None = None
    default_light_settings: bool | None = None
    vibrate_timings: list[str] | None = None
    visibility: Literal["VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"] | None = None
    notification_count: Int | None = None
    light_settings: LightSettings | None = None
    image: str | None = None
    bypass_proxy_notification: bool | None = None
    proxy: Literal["PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"] | None = None


class AndroidConfig(_Strict):
    collapse_key: str | None = None
    priority: Literal["NORMAL", "HIGH", "normal", "high"] | None = None
    ttl: str | None = None
    restricted_package_name: str | None = None
    data: dict[str, str] | None = None
    notification: AndroidNotification | None = None
    fcm_options: FcmOptions | None = None
    direct_boot_ok: bool | None = None
    bandwidth_constrained_ok: bool | None = None
    restricted_satellite_ok: bool | None = None


class WebpushFcmOptions(_Strict):
    link: str | None = None
    analytics_label: str | None = None


class WebpushConfig(_Strict):
    headers: dict[str, str] | None = None
    data: dict[str, str] | None = None
    notification: dict[str, Any] | None = None
    fcm_options: WebpushFcmOptions | None = None


class ApnsFcmOptions(_Strict):
    analytics_label: str | None = None
    image: str | None = None


class ApnsConfig(_Strict):
    headers: dict[str, str] | None = None
    payload: dict[str, Any] | None = None
    fcm_options: ApnsFcmOptions | None = None
    live_activity_token: str | None = None


class Message(_Strict):
    """`name` is output only and so not taken."""

    data: dict[str, str] | None = None
    notification: Notification | None = None
    android: AndroidConfig | None = None
    webpush: WebpushConfig | None = None
    apns: ApnsConfig | None = None
    fcm_options: FcmOptions | None = None
    token: str | None = None
    topic: str | None = None
    condition: str | None = None


class SendRequest(_Strict):
    message: Message
    validate_only: bool = False
