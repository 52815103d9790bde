import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.content import Content
from delivery.senders.apns.payload import ContentError, document, template
from delivery.senders.contract import Envelope

RUN = "0190f3c2-0000-7000-8000-000000000001"
NOTIFICATION = "0190f3c2-0000-7000-8000-000000000002"
ENVELOPE = Envelope(run=RUN, lane="high", expires_at=None, contents=[], messages=[])


def payload(content: Content) -> dict[str, Any]:
    """Return the payload as APNs would read it."""
    parsed: dict[str, Any] = json.loads(template(content, ENVELOPE)(NOTIFICATION))
    return parsed


def test_a_payload_says_what_and_which() -> None:
    content = Content(
        title="Title",
        subtitle="Subtitle",
        body="Body",
        link="https://x.test/",
        data={"k": "v"},
        sound="ping",
        badge=3,
    )
    assert payload(content) == {
        "aps": {
            "alert": {"title": "Title", "subtitle": "Subtitle", "body": "Body"},
            "sound": "ping",
            "badge": 3,
        },
        "link": "https://x.test/",
        "k": "v",
        "nh": {"id": NOTIFICATION, "run": RUN},
    }


def test_an_image_lets_the_apps_extension_change_the_content() -> None:
    shown = payload(Content(title="T", image="https://x.test/i.png"))
    assert shown["aps"]["mutable-content"] == 1
    assert shown["image"] == "https://x.test/i.png"


def test_ioss_options_stand_in_aps_under_apples_names() -> None:
    options = {
        "thread_id": "match",
        "category": "SCORE",
        "interruption_level": "time-sensitive",
        "relevance_score": 0.5,
        "sound": {"critical": 1, "name": "alarm", "volume": 1.0},
    }
    assert payload(Content(title="T", sound="ping", ios=options))["aps"] == {
        "alert": {"title": "T"},
        "thread-id": "match",
        "category": "SCORE",
        "interruption-level": "time-sensitive",
        "relevance-score": 0.5,
        "sound": {"critical": 1, "name": "alarm", "volume": 1.0},
    }


@pytest.mark.parametrize("key", ["aps", "nh"])
def test_data_under_a_key_of_ours_is_refused(key: str) -> None:
    with pytest.raises(ContentError, match=f"reserved_data_key:{key}"):
        template(Content(title="T", data={key: "v"}), ENVELOPE)


def test_options_that_are_not_json_are_refused() -> None:
    with pytest.raises(ContentError, match="content_not_json"):
        template(Content(title="T", ios={"category": object()}), ENVELOPE)


@given(
    title=st.text(st.characters(codec="utf-8")),
    data=st.dictionaries(
        st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=3
    ),
)
def test_a_filled_template_is_what_apns2_builds(title: str, data: dict[str, str]) -> None:
    content = Content(title=title, data={f"x{key}": value for key, value in data.items()})
    assert payload(content) == document(content, ENVELOPE, notification=NOTIFICATION)


def test_a_background_push_holds_nothing_to_see() -> None:
    shown = payload(
        Content(title="T", body="B", sound="ping", badge=3, data={"k": "v"}, ios={"push_type": "background"})
    )
    assert shown["aps"] == {"content-available": 1} and shown["k"] == "v"


def test_texts_that_the_app_translates_stand_in_the_alert() -> None:
    ios = {
        "title_loc_key": "HELLO",
        "title_loc_args": ["Ada"],
        "loc_key": "NEWS",
        "subtitle_loc_key": "SUB",
        "launch_image": "i",
    }
    assert payload(Content(title="T", ios=ios))["aps"]["alert"] == {
        "title": "T",
        "title-loc-key": "HELLO",
        "title-loc-args": ["Ada"],
        "subtitle-loc-key": "SUB",
        "loc-key": "NEWS",
        "launch-image": "i",
    }


def test_a_live_activity_is_started_with_its_attributes_and_an_alert() -> None:
    ios = {
        "push_type": "liveactivity",
        "event": "start",
        "attributes_type": "Match",
        "attributes": {"home": "A"},
        "content_state": {"score": 3},
        "stale_date": 1_900_000_000,
        "input_push_token": True,
    }
    made = document(
        Content(title="T", body="B", ios=ios), ENVELOPE, notification=NOTIFICATION, now=1_800_000_000
    )
    assert made["aps"] == {
        "alert": {"title": "T", "body": "B"},
        "event": "start",
        "attributes-type": "Match",
        "attributes": {"home": "A"},
        "content-state": {"score": 3},
        "stale-date": 1_900_000_000,
        "input-push-token": 1,
        "timestamp": 1_800_000_000,
    }


def test_a_running_live_activity_changes_in_silence_unless_it_says_alert() -> None:
    ios = {
        "push_type": "liveactivity",
        "event": "update",
        "activity": "order-7",
        "content_state": {"score": 3},
    }
    quiet = document(
        Content(title="T", ios={**ios, "timestamp": 7}), ENVELOPE, notification=NOTIFICATION, now=9
    )
    assert quiet["aps"] == {"event": "update", "content-state": {"score": 3}, "timestamp": 7}
    loud = document(
        Content(title="T", ios={**ios, "alert": True}), ENVELOPE, notification=NOTIFICATION, now=9
    )
    assert loud["aps"]["alert"] == {"title": "T"} and "activity" not in loud["aps"]


@pytest.mark.parametrize("push_type", ["widgets", "controls"])
def test_a_reload_says_that_content_changed(push_type: str) -> None:
    assert payload(Content(title="T", ios={"push_type": push_type}))["aps"] == {"content-changed": True}


def test_device_management_is_told_its_magic_and_nothing_else() -> None:
    assert payload(Content(title="T", data={"k": "v"}, ios={"push_type": "mdm", "mdm": "magic"})) == {
        "mdm": "magic"
    }


def test_a_push_type_that_there_is_not_is_a_reason() -> None:
    with pytest.raises(ContentError, match="invalid_push_type"):
        document(Content(title="T", ios={"push_type": "pigeon"}), ENVELOPE, notification=NOTIFICATION)
