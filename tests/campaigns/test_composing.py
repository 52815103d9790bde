"""The composer's fields and what a campaign keeps: nothing gets lost on the way there and back."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import composing
from campaigns.content import PLATFORMS, build

text = st.text(min_size=1, max_size=8)
android = st.fixed_dictionaries(
    {},
    optional={
        "channel_id": text,
        "priority": st.just("HIGH"),
        "ticker": text,
        "notification_count": st.integers(0, 9),
    },
)
ios = st.fixed_dictionaries(
    {}, optional={"thread_id": text, "category": text, "badge": st.integers(0, 9), "launch_image": text}
)
web = st.fixed_dictionaries(
    {},
    optional={
        "require_interaction": st.just(True),
        "icon": text,
        "dir": st.just("rtl"),
        "actions": st.lists(st.fixed_dictionaries({"action": text, "title": text}), min_size=1, max_size=2),
    },
)
said = st.fixed_dictionaries(
    {}, optional={"title": text, "link": text, "data": st.just({"a": "b"}), "sound": text}
)
overrides = st.dictionaries(st.sampled_from(PLATFORMS), said.filter(bool), max_size=3)


@given(android, ios, web, overrides)
def test_what_is_opened_and_closed_again_is_what_it_was(
    android: dict[str, Any], ios: dict[str, Any], web: dict[str, Any], overrides: dict[str, Any]
) -> None:
    campaign = SimpleNamespace(android=android, ios=ios, web=web, overrides=overrides)
    closed = composing.closed(composing.opened(campaign))
    assert closed == {"android": android, "ios": ios, "web": web, "overrides": overrides}


@pytest.mark.parametrize(
    ("place", "field", "within"),
    [
        ("title", "title", ""),
        ("texts.en.title", "title", ""),
        ("texts.de.title", "locales", "de.title"),
        ("texts.en.data.screen", "data", "screen"),
        ("locales.de.body", "locales", "de.body"),
        ("overrides.tv.title", "tv__title", ""),
        ("overrides.tv.data.x", "overrides", "tv.data.x"),
        ("web.actions.0.navigate", "buttons", "0.navigate"),
        ("android.channel_id", "android_channel_id", ""),
        ("android.ticker", "android", "ticker"),
        ("ios.badge", "ios", "badge"),
        ("badge", "badge", ""),
    ],
)
def test_every_place_has_a_field(place: str, field: str, within: str) -> None:
    assert composing.field_of(place, locale="en") == (field, within)


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("texts.en.title", "title"),
        ("texts.en.data.screen", "data.screen"),
        ("texts.de.title", "locales.de.title"),
        ("texts.en-GB.title", "locales.en-GB.title"),
        ("overrides.tv.title", "overrides.tv.title"),
    ],
)
def test_every_place_of_a_snapshot_stands_somewhere_in_its_campaign(place: str, kept: str) -> None:
    assert composing.place_of(place, locale="en") == kept


def test_buttons_are_what_browsers_take() -> None:
    buy = composing.button("Jetzt kaufen!", "https://shop.example/", "")
    again = composing.button("Jetzt kaufen?", "", "", taken=[buy["action"]])
    assert buy == {"action": "jetzt-kaufen", "title": "Jetzt kaufen!", "navigate": "https://shop.example/"}
    assert again == {"action": "jetzt-kaufen-2", "title": "Jetzt kaufen?"}
    assert composing.button("購入", "", "")["action"] == "button"
    build({"title": "x", "web": {"actions": [buy, again]}}, locale="en")


def test_what_is_not_translated_is_named() -> None:
    base = {"title": "Hi", "body": "News", "subtitle": ""}
    locales = {"de": {"title": "Hallo", "body": "Neues"}, "fr": {"title": "Salut"}, "ja": {}}
    assert composing.missing(locales, base) == {"fr": ["body"], "ja": ["title", "body"]}
