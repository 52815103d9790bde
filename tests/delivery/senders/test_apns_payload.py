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
