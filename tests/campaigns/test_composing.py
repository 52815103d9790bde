"""The composer's fields and what a campaign keeps."""

import pytest

from campaigns import composing
from campaigns.content import build


@pytest.mark.parametrize(
    ("place", "field", "within"),
    [
        ("title", "title", ""),
        ("texts.en.title", "title", ""),
        ("texts.de.title", "locales", "de.title"),
        ("texts.en.data.screen", "data", "screen"),
        ("locales.de.body", "locales", "de.body"),
        ("overrides.tv.title", "tv__title", ""),
        ("overrides.tv.data.x.y", "tv__data", "x.y"),
        ("overrides.ios.badge", "ios__badge", ""),
        ("overrides.web.web.actions.1.title", "web__buttons", "1.title"),
        ("overrides.ios.ios.badge", "overrides", "ios.ios.badge"),
        ("web.actions.0.navigate", "buttons", "0.navigate"),
        ("android.channel_id", "android_channel_id", ""),
        ("android.ticker", "android_options", "ticker"),
        ("ios.badge", "ios_options", "badge"),
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
