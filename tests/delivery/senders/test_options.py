"""Options are read strictly: what a provider would refuse, or drop without a word, is refused with its place."""

from typing import Any

import pytest

from delivery.senders import options as platform_options
from delivery.senders.apns.options import purpose_of
from delivery.senders.fcm.options import Android
from delivery.senders.options import OptionError, check
from devices import purposes
from fleet.fcm_schema import AndroidConfig, AndroidNotification

LIGHT = {"color": {"red": 1.0}, "light_on_duration": "1s", "light_off_duration": "0.5s"}
ACTIVITY: dict[str, Any] = {"push_type": "liveactivity", "content_state": {"score": 3}}
START = {**ACTIVITY, "event": "start", "attributes_type": "Match", "attributes": {}}


@pytest.mark.parametrize(
    ("platform", "options"),
    [
        ("android", {}),
        ("android", {"channel_id": "news", "light_settings": LIGHT, "visibility": "SECRET", "sticky": True}),
        (
            "android",
            {"vibrate_timings": ["1s", "0.25s"], "event_time": "2026-11-25T08:00:00Z", "color": "#1a2B3c"},
        ),
        ("ios", {"sound": {"name": "alarm", "critical": 1, "volume": 0.5}, "interruption_level": "critical"}),
        ("ios", {"sound": "ping.caf", "badge": 0, "content_available": True, "collapse_id": "score"}),
        ("ios", {"push_type": "background", "priority": 5}),
        ("ios", START),
        ("ios", {**ACTIVITY, "event": "update", "activity": "order-7", "relevance_score": 75.0}),
        (
            "ios",
            {
                "push_type": "liveactivity",
                "event": "end",
                "activity": "order-7",
                "dismissal_date": 1_900_000_000,
            },
        ),
        ("ios", {"push_type": "controls", "control": "door"}),
        ("ios", {"push_type": "mdm", "mdm": "magic"}),
        ("web", {"icon": "/i.png", "actions": [{"action": "open", "title": "Open"}], "urgency": "very-low"}),
    ],
)
def test_what_a_provider_takes_is_taken(platform: str, options: dict[str, Any]) -> None:
    check(platform, options)


@pytest.mark.parametrize(
    ("platform", "options", "field", "said"),
    [
        ("android", {"chanel_id": "x"}, "chanel_id", "did you mean “channel_id”?"),
        ("android", {"zzz": 1}, "zzz", "there are priority, collapse_key"),
        ("android", {"ttl": "3s"}, "ttl", "unknown option"),
        ("android", {"priority": "high"}, "priority", "one of NORMAL, HIGH"),
        ("android", {"color": "red"}, "color", "#1a2b3c"),
        (
            "android",
            {"light_settings": {**LIGHT, "color": {"red": 2}}},
            "light_settings.color.red",
            "from 0 to 1",
        ),
        ("android", {"light_settings": {"color": {}}}, "light_settings", "light_on_duration"),
        ("android", {"vibrate_timings": ["1s", "1"]}, "vibrate_timings.1", "3.5s"),
        ("android", {"fcm_options": {"analytics_label": "ä"}}, "fcm_options.analytics_label", "1 to 50"),
        ("android", {"notification_count": -1}, "notification_count", "from 0"),
        ("android", {"sticky": "yes"}, "sticky", "true or false"),
        ("android", {"ticker": "x" * 1_001}, "ticker", "1,000 characters"),
        ("ios", {"thread-id": "x"}, "thread-id", "“thread_id”"),
        ("ios", {"push_type": "silent"}, "push_type", "one of alert, background, voip"),
        ("ios", {"priority": 7}, "priority", "one of 1, 5, 10"),
        ("ios", {"push_type": "background", "priority": 10}, "priority", "has the priority 5"),
        ("ios", {"collapse_id": "x" * 65}, "collapse_id", "at most 64"),
        ("ios", {"collapse_id": "a\r\nb"}, "collapse_id", "ASCII"),
        ("ios", {"relevance_score": 1.5}, "relevance_score", "from 0 to 1"),
        ("ios", {"sound": {"critical": 1}}, "sound", "needs “name”"),
        ("ios", {"event": "start"}, "event", "push_type"),
        ("ios", ACTIVITY, "event", "start, update or end"),
        ("ios", {**ACTIVITY, "event": "start"}, "attributes_type", "needs this"),
        ("ios", {**ACTIVITY, "event": "update"}, "activity", "needs this"),
        ("ios", {**START, "event": "update", "activity": "a"}, "attributes", "Only the start"),
        ("ios", {**START, "dismissal_date": 1}, "dismissal_date", "Only the end"),
        ("ios", {"control": "door"}, "control", "controls"),
        ("ios", {"push_type": "mdm"}, "mdm", "PushMagic"),
        ("ios", {"mdm": "magic"}, "mdm", "PushMagic"),
        ("web", {"icon": "http://x.test/i.png"}, "icon", "https://"),
        ("web", {"actions": [{"action": "a", "title": "A", "url": "/"}]}, "actions.0.url", "unknown option"),
        ("web", {"requireInteraction": True}, "requireInteraction", "“require_interaction”"),
        ("web", {"vibrate": [1, 2.5]}, "vibrate.1", "milliseconds"),
        ("ios", {"content_state": {"x": "y" * 5_000}}, "", "4,096 are the most"),
    ],
)
def test_what_a_provider_refuses_is_refused_with_its_place(
    platform: str, options: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(OptionError) as caught:
        check(platform, options)
    assert caught.value.field == field and said in str(caught.value)


def test_every_option_of_googles_reference_is_there_but_what_the_hub_says_itself() -> None:
    """The fleet reads messages by Google's reference; its fields are compared with ours."""
    google = {*AndroidConfig.__struct_fields__, *AndroidNotification.__struct_fields__}
    ours = {"title", "body", "tag", "ttl", "data", "notification", "bypass_proxy_notification"}
    assert google - ours == set(Android.__struct_fields__)


@pytest.mark.parametrize(
    ("ios", "purpose"),
    [
        ({}, ""),
        ({"push_type": "background"}, ""),
        ({"push_type": "voip"}, "voip"),
        ({"push_type": "widgets"}, "widgets"),
        ({"push_type": "controls"}, "controls"),
        ({"push_type": "controls", "control": "door"}, "controls:door"),
        ({**ACTIVITY, "event": "update", "activity": "order-7"}, "liveactivity:order-7"),
        (START, "liveactivity-start:Match"),
    ],
)
def test_a_push_type_goes_to_the_tokens_that_are_for_it(ios: dict[str, Any], purpose: str) -> None:
    assert purpose_of(ios) == purposes.check(purpose) == purpose


@pytest.mark.parametrize(
    ("platform", "name", "text", "value"),
    [
        ("ios", "badge", "3", 3),
        ("ios", "relevance_score", "0.5", 0.5),
        ("ios", "content_available", "true", True),
        ("ios", "launch_image", "5", "5"),
        ("android", "notification_count", "many", "many"),
        ("android", "vibrate_timings", "3.5s", "3.5s"),
        ("web", "lang", "null", "null"),
        ("web", "unheard_of", "1", "1"),
    ],
)
def test_what_is_written_in_one_line_is_of_the_options_kind(
    platform: str, name: str, text: str, value: object
) -> None:
    read = platform_options.read(platform, name, text)
    assert read == value and type(read) is type(value)


def test_the_options_of_one_line_are_named() -> None:
    names = platform_options.plain_names("ios")
    assert {"badge", "sound", "priority", "content_available"} <= set(names)
    assert not {"url_args", "content_state", "fcm_options"} & set(names)
