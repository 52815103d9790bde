import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.content import Content
from delivery.senders.contract import Credential, Envelope
from delivery.senders.fcm.account import Account
from delivery.senders.fcm.builder import Builder
from delivery.senders.fcm.payload import ContentError, parameters, template, weight

RUN = "0190f3c2-0000-7000-8000-000000000001"
NOTIFICATION = "0190f3c2-0000-7000-8000-000000000002"


def envelope(**fields: Any) -> Envelope:
    return Envelope(
        **({"run": RUN, "lane": "high", "expires_at": None, "contents": [], "messages": []} | fields)
    )


def message(content: Content, **fields: Any) -> dict[str, Any]:
    """Return the message as FCM would read it."""
    account = Account.__new__(Account)
    account.json_encoder = None
    filled = template(account, content, envelope(**fields))("the token", NOTIFICATION)
    parsed: dict[str, Any] = json.loads(filled)["message"]
    return parsed


def test_a_message_says_what_and_to_whom() -> None:
    content = Content(
        title="Title", body="Body", image="https://x.test/i.png", link="https://x.test/", data={"k": "v"}
    )
    assert message(content) == {
        "token": "the token",
        "notification": {"title": "Title", "body": "Body", "image": "https://x.test/i.png"},
        "data": {"k": "v", "link": "https://x.test/", "nh_id": NOTIFICATION, "nh_run": RUN},
        "android": {"priority": "HIGH", "notification": {"tag": NOTIFICATION}},
    }


@given(
    title=st.text(st.characters(codec="utf-8")),
    token=st.text(st.characters(codec="utf-8"), min_size=1),
    tag=st.text(st.characters(codec="utf-8"), max_size=5),
    data=st.dictionaries(
        st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=3
    ),
)
def test_a_filled_template_is_what_pyfcm_builds(
    title: str, token: str, tag: str, data: dict[str, str]
) -> None:
    account = Account.__new__(Account)
    account.json_encoder = None
    content = Content(title=title, body="Body", data=data, android={"channel_id": "news"})
    shared = envelope(tag=tag)
    whole = account.parse_payload(**parameters(content, shared, token=token, notification=NOTIFICATION))
    assert template(account, content, shared)(token, NOTIFICATION) == whole


def test_the_campaigns_own_tag_replaces_the_notifications_id() -> None:
    assert message(Content(title="T"), tag="score")["android"]["notification"]["tag"] == "score"


def test_a_collapse_key_only_when_asked_for() -> None:
    assert "collapse_key" not in message(Content(title="T"))["android"]
    assert message(Content(title="T"), collapse_key="news")["android"]["collapse_key"] == "news"


@pytest.mark.parametrize(("left", "ttl"), [(90.9, "90s"), (-5, "0s"), (3_000_000, "2419200s")])
def test_the_time_to_live_is_what_is_left_within_fcms_limits(left: float, ttl: str) -> None:
    values = parameters(
        Content(title="T"), envelope(expires_at=1000 + left), token="t", notification="n", now=1000
    )
    assert values["android_config"]["ttl"] == ttl


def test_a_calm_lane_does_not_wake_the_device() -> None:
    assert message(Content(title="T"), lane="bulk")["android"]["priority"] == "NORMAL"


def test_androids_options_go_where_fcm_wants_them() -> None:
    options = {"channel_id": "news", "click_action": "OPEN", "direct_boot_ok": True}
    android = message(Content(title="T", sound="ping", badge=3, android=options))["android"]
    assert android["direct_boot_ok"] is True
    assert android["notification"] == {
        "tag": NOTIFICATION,
        "sound": "ping",
        "notification_count": 3,
        "channel_id": "news",
        "click_action": "OPEN",
    }


def test_without_a_text_it_is_a_data_message() -> None:
    silent = message(Content(data={"k": "v"}))
    assert "notification" not in silent and "notification" not in silent["android"]


def test_our_keys_win_over_the_contents_data() -> None:
    assert message(Content(title="T", data={"nh_id": "forged"}))["data"]["nh_id"] == NOTIFICATION


def test_a_credential_makes_the_endpoint(fcm_credential: Credential) -> None:
    assert (
        Account(fcm_credential).endpoint
        == f"{fcm_credential.base_url}/v1/projects/senders-tests/messages:send"
    )


def block(platform: str, content: Content, **fields: Any) -> dict[str, Any]:
    """Return the message for a device of a platform."""
    words = parameters(
        content, envelope(**fields), token="t", notification=NOTIFICATION, platform=platform, now=100.0
    )
    parsed: dict[str, Any] = json.loads(Builder().payload(**words))["message"]
    return parsed


def test_a_message_holds_the_block_of_its_devices_platform_and_no_other() -> None:
    content = Content(title="T", android={"channel_id": "a"}, ios={"category": "i"}, web={"icon": "/i.png"})
    for platform, name in [("android", "android"), ("tv", "android"), ("ios", "apns"), ("web", "webpush")]:
        assert {"android", "apns", "webpush"} & block(platform, content).keys() == {name}


def test_android_is_told_everything_that_its_block_may_hold() -> None:
    options: dict[str, Any] = {
        "priority": "NORMAL",
        "collapse_key": "score",
        "direct_boot_ok": True,
        "restricted_package_name": "com.example.app",
        "fcm_options": {"analytics_label": "spring"},
        "channel_id": "news",
        "click_action": "OPEN",
        "image": "https://x.test/i.png",
        "visibility": "PRIVATE",
        "light_settings": {
            "color": {"red": 1.0},
            "light_on_duration": "1s",
            "light_off_duration": "0.5s",
        },
    }
    found = block("android", Content(title="T", sound="ping", badge=3, android=options), expires_at=160.0)[
        "android"
    ]
    notice = found.pop("notification")
    assert found == {
        "priority": "NORMAL",
        "collapse_key": "score",
        "direct_boot_ok": True,
        "restricted_package_name": "com.example.app",
        "fcm_options": {"analytics_label": "spring"},
        "ttl": "60s",
    }
    assert (
        notice["tag"] == NOTIFICATION and notice["channel_id"] == "news" and notice["notification_count"] == 3
    )


def test_apples_devices_are_told_by_fcm_what_apns_would_tell_them() -> None:
    content = Content(
        title="T",
        subtitle="S",
        body="B",
        sound="ping",
        badge=3,
        ios={
            "category": "C",
            "thread_id": "t",
            "interruption_level": "passive",
            "fcm_options": {"analytics_label": "l"},
        },
    )
    assert block("ios", content, expires_at=160.0)["apns"] == {
        "headers": {
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-collapse-id": NOTIFICATION,
            "apns-expiration": "160",
        },
        "payload": {
            "aps": {
                "alert": {"title": "T", "subtitle": "S", "body": "B"},
                "badge": 3,
                "sound": "ping",
                "category": "C",
                "thread-id": "t",
                "interruption-level": "passive",
            }
        },
        "fcm_options": {"analytics_label": "l"},
    }


def test_a_background_push_by_fcm_shows_nothing() -> None:
    found = block("ios", Content(title="T", body="B", ios={"push_type": "background"}))
    assert "notification" not in found
    assert found["apns"]["payload"]["aps"] == {"content-available": 1}
    assert found["apns"]["headers"]["apns-priority"] == "5"


def test_push_types_with_tokens_of_their_own_are_not_sent_by_fcm() -> None:
    with pytest.raises(ContentError, match="push_type_needs_apns"):
        block("ios", Content(title="T", ios={"push_type": "voip"}))


def test_a_browser_behind_fcm_is_told_what_web_push_would_tell_it() -> None:
    content = Content(
        title="T",
        link="https://x.test/",
        web={"icon": "/i.png", "require_interaction": True, "urgency": "low"},
    )
    assert block("web", content, expires_at=160.0)["webpush"] == {
        "headers": {"Urgency": "low", "TTL": "60"},
        "notification": {"tag": NOTIFICATION, "icon": "/i.png", "requireInteraction": True},
        "fcm_options": {"link": "https://x.test/"},
    }


@given(
    title=st.text(st.characters(codec="utf-8"), min_size=1),
    data=st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
)
def test_what_is_weighed_is_never_less_than_its_keys_and_values(title: str, data: dict[str, str]) -> None:
    words = parameters(
        Content(title=title, data=data), envelope(), token="t" * 200, notification=NOTIFICATION
    )
    least = len(title.encode()) + sum(len(key.encode()) + len(value.encode()) for key, value in data.items())
    request = Builder().payload(**words)
    assert least < weight(request) < len(request)
