"""What an APNs request asks for: topic by push type, priority, expiry, and the place on the screen."""

from typing import Any

import pytest

from delivery.content import Content
from delivery.senders.apns.headers import lines, place
from delivery.senders.apns.options import PUSH_TYPES
from delivery.senders.apns.payload import kind_of
from delivery.senders.contract import Envelope

APP = "com.example.app"


def asked(urgent: bool = True, expires_at: float | None = None, **ios: Any) -> dict[str, str]:
    content = Content(title="T", ios=ios)
    made = lines(content, kind_of(content), topic=APP, urgent=urgent, expires_at=expires_at)
    return dict(line.split(": ", 1) for line in made if ": " in line)


@pytest.mark.parametrize(
    ("push_type", "topic"),
    [
        ("alert", APP),
        ("background", APP),
        ("voip", f"{APP}.voip"),
        ("complication", f"{APP}.complication"),
        ("fileprovider", f"{APP}.pushkit.fileprovider"),
        ("mdm", APP),
        ("liveactivity", f"{APP}.push-type.liveactivity"),
        ("location", f"{APP}.location-query"),
        ("pushtotalk", f"{APP}.voip-ptt"),
        ("controls", f"{APP}.push-type.controls"),
        ("widgets", f"{APP}.push-type.widgets"),
    ],
)
def test_every_push_type_has_its_topic(push_type: str, topic: str) -> None:
    found = asked(push_type=push_type)
    assert (found["apns-push-type"], found["apns-topic"]) == (push_type, topic)


def test_there_is_no_push_type_without_a_test_of_its_topic() -> None:
    assert len(PUSH_TYPES) == 11


@pytest.mark.parametrize(("urgent", "priority"), [(True, "10"), (False, "5")])
def test_the_lane_is_the_priority_unless_the_content_says_otherwise(urgent: bool, priority: str) -> None:
    assert asked(urgent)["apns-priority"] == priority
    assert asked(urgent, priority=1)["apns-priority"] == "1"


def test_a_background_push_is_never_urgent_and_a_push_to_talk_always() -> None:
    assert asked(urgent=True, push_type="background")["apns-priority"] == "5"
    found = asked(urgent=False, push_type="pushtotalk", expires_at=1_900_000_000.0)
    assert (found["apns-priority"], found["apns-expiration"]) == ("10", "0")


def test_the_expiry_is_apples_expiration() -> None:
    assert asked(expires_at=1_900_000_000.9)["apns-expiration"] == "1900000000"
    assert "apns-expiration" not in asked()


@pytest.mark.parametrize(
    ("tag", "ios", "identity"),
    [
        ("", {}, ""),
        ("score", {}, "score"),
        ("score", {"collapse_id": "own"}, "own"),
        ("", {"collapse_id": "own"}, "own"),
    ],
)
def test_the_place_on_the_screen_is_what_the_content_says_else_the_campaigns_tag(
    tag: str, ios: dict[str, Any], identity: str
) -> None:
    envelope = Envelope("r", "high", None, [], [], tag=tag)
    assert place(Content(title="T", ios=ios), envelope) == identity


def test_a_tag_that_no_header_can_hold_becomes_one_of_64_bytes() -> None:
    envelope = Envelope("r", "high", None, [], [], tag="Spielstand ⚽" * 20)
    assert len(place(Content(title="T"), envelope)) == 64
