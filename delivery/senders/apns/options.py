"""What a content may say to Apple's devices alone, in APNs's words with underscores, and which push type allows what.

Sources: "Generating a remote notification" and "Sending notification requests to APNs"
(developer.apple.com/documentation/usernotifications), "Starting and updating Live Activities with ActivityKit push
notifications" (developer.apple.com/documentation/activitykit), "Updating widgets with WidgetKit push notifications"
(developer.apple.com/documentation/widgetkit). What the hub says itself is not here: the texts, and when they expire.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from devices import purposes

COLLAPSE_ID_BYTES = 64
Text = Annotated[
    str, msgspec.Meta(min_length=1, max_length=1_000, description="a text of 1 to 1,000 characters")
]
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[!-~]{1,70}$", description="1 to 70 visible ASCII characters without spaces")
]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**40, description="seconds since 1970")]
Flag = Annotated[bool | Literal[0, 1], msgspec.Meta(description="true or false")]
Share = Annotated[float, msgspec.Meta(ge=0, le=1, description="a number from 0 to 1")]
Score = Annotated[float, msgspec.Meta(ge=0, description="a number from 0")]
Count = Annotated[int, msgspec.Meta(ge=0, description="a whole number from 0")]
Label = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-zA-Z0-9\-_.~%]{1,50}$", description="1 to 50 of the characters a-z A-Z 0-9 - _ . ~ %"
    ),
]
Picture = Annotated[
    str,
    msgspec.Meta(pattern=r"^https://", max_length=500, description="an address that begins with https://"),
]
CollapseId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[!-~]([ -~]*[!-~])?$",
        max_length=COLLAPSE_ID_BYTES,
        description=f"at most {COLLAPSE_ID_BYTES} ASCII characters, no space at its ends",
    ),
]


class _Options(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An object of options; an unknown name is refused."""


class Sound(_Options):
    """The sound of a critical alert."""

    name: Text
    critical: Flag = 0
    volume: Share = 1.0


class FcmOptions(_Options):
    """Options of the FCM SDK, for devices that are reached by FCM."""

    analytics_label: Label = ""
    image: Picture = ""


class Ios(_Options):
    """The options of `ios`."""

    # what the request asks for
    push_type: (
        Literal[
            "alert", "background", "voip", "complication", "fileprovider", "mdm", "liveactivity", "location",
            "pushtotalk", "controls", "widgets",
        ] | None
    ) = None  # fmt: skip
    priority: Literal[1, 5, 10] | None = None
    collapse_id: CollapseId | None = None
    # in `aps`
    sound: Text | Sound | None = None
    badge: Count | None = None
    category: Text | None = None
    thread_id: Text | None = None
    interruption_level: Literal["passive", "active", "time-sensitive", "critical"] | None = None
    relevance_score: Score | None = None
    target_content_id: Text | None = None
    filter_criteria: Text | None = None
    content_available: Flag | None = None
    mutable_content: Flag | None = None
    url_args: list[str] | None = None
    # in `aps.alert`
    title_loc_key: Text | None = None
    title_loc_args: list[str] | None = None
    subtitle_loc_key: Text | None = None
    subtitle_loc_args: list[str] | None = None
    loc_key: Text | None = None
    loc_args: list[str] | None = None
    launch_image: Text | None = None
    # live activities
    activity: Name | None = None
    event: Literal["start", "update", "end"] | None = None
    content_state: dict[str, Any] | None = None
    timestamp: Seconds | None = None
    stale_date: Seconds | None = None
    dismissal_date: Seconds | None = None
    attributes_type: Name | None = None
    attributes: dict[str, Any] | None = None
    input_push_token: Flag | None = None
    input_push_channel: Text | None = None
    alert: Flag | None = None
    # controls; mobile device management; FCM
    control: Name | None = None
    mdm: Text | None = None
    fcm_options: FcmOptions | None = None


class PushType(NamedTuple):
    """What a push type asks for: the topic's suffix, whether a person sees it, and its limit in bytes.

    `priority` is the only one it may have (None: as urgent as the lane). `immediate`: it is worth nothing later.
    `collapses`: a later one takes its place (`apns-collapse-id`). `by_certificate`: a certificate may send it.
    """

    suffix: str = ""
    shows: bool = False
    limit: int = 4_096
    priority: int | None = None
    immediate: bool = False
    collapses: bool = False
    by_certificate: bool = True


PUSH_TYPES: dict[str, PushType] = {
    "alert": PushType(shows=True, collapses=True),
    "background": PushType(priority=5, collapses=True),
    "voip": PushType(".voip", shows=True, limit=5_120),
    "complication": PushType(".complication"),
    "fileprovider": PushType(".pushkit.fileprovider"),
    "mdm": PushType(),
    "liveactivity": PushType(".push-type.liveactivity", shows=True, by_certificate=False),
    "location": PushType(".location-query", by_certificate=False),
    "pushtotalk": PushType(".voip-ptt", priority=10, immediate=True),
    "controls": PushType(".push-type.controls"),
    "widgets": PushType(".push-type.widgets"),
}

_ACTIVITY_ONLY = (
    "activity", "event", "content_state", "timestamp", "stale_date", "dismissal_date", "attributes_type", "attributes",
    "input_push_token", "input_push_channel", "alert",
)  # fmt: skip


class RuleError(ValueError):
    """Options that do not go together: the `option` to change and a sentence."""

    def __init__(self, option: str, sentence: str) -> None:
        self.option = option
        super().__init__(sentence)


def check_rules(ios: Mapping[str, Any]) -> None:
    """Refuse options that are well-formed one by one and do not go together; raises `RuleError`."""
    name = str(ios.get("push_type") or "alert")
    kind, event = PUSH_TYPES[name], ios.get("event")
    priority = ios.get("priority")
    if priority is not None and kind.priority not in (None, priority):
        raise RuleError(
            "priority", f"A push of the type {name} has the priority {kind.priority}; leave it out."
        )
    for option in _ACTIVITY_ONLY:
        if option in ios and name != "liveactivity":
            raise RuleError(
                option, 'This is for live activities: set push_type to "liveactivity", or leave it out.'
            )
    if "control" in ios and name != "controls":
        raise RuleError("control", 'This is for controls: set push_type to "controls", or leave it out.')
    if ("mdm" in ios) != (name == "mdm"):
        raise RuleError(
            "mdm", 'A push of the type mdm needs the device\'s PushMagic as "mdm", and no other has it.'
        )
    if name == "liveactivity":
        _check_activity(ios, event)
    elif ios.get("relevance_score") is not None and ios["relevance_score"] > 1:
        raise RuleError("relevance_score", "Must be from 0 to 1.")


def _check_activity(ios: Mapping[str, Any], event: Any) -> None:
    wanted = {"start": ("attributes_type", "attributes", "content_state")}.get(
        str(event), ("activity", "content_state")
    )
    if event is None:
        raise RuleError("event", "A live activity needs an event: start, update or end.")
    for option in wanted:
        if option not in ios and not (event == "end" and option == "content_state"):
            raise RuleError(option, f"A live activity's {event} needs this.")
    if event != "start" and ("attributes" in ios or "attributes_type" in ios):
        raise RuleError("attributes", "Only the start of a live activity has attributes; leave them out.")
    if "dismissal_date" in ios and event != "end":
        raise RuleError("dismissal_date", "Only the end of a live activity has one; leave it out.")


def purpose_of(ios: Mapping[str, Any]) -> str:
    """Return what the tokens of a content's devices are for (`devices.purposes`): empty for alerts and background."""
    name = ios.get("push_type") or "alert"
    if name == "liveactivity":
        if ios.get("event") == "start":
            return f"{purposes.START}:{ios.get('attributes_type')}"
        return f"{purposes.ACTIVITY}:{ios.get('activity')}"
    if name == "controls" and ios.get("control"):
        return f"controls:{ios['control']}"
    return name if name in purposes.OWN else ""
