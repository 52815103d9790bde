"""What a campaign or a request says becomes texts, or a field and a sentence."""

from typing import Any

import pytest

from campaigns.content import ContentError, build


def test_locales_and_platforms_become_texts() -> None:
    made = build(
        {"title": "Hello", "data": {"screen": "home"}},
        locale="en",
        locales={"pt-BR": {"title": "Olá"}},
        overrides={"tv": {"title": "Look"}, "ios": {"sound": "ping.caf", "ios": {"badge": 1}}},
    )
    assert made.texts["en"].data == {"screen": "home"} and made.texts["pt-BR"].title == "Olá"
    assert made.overrides["ios"].ios == {"badge": 1}


@pytest.mark.parametrize(
    ("base", "more", "field", "reason"),
    [
        ({"titel": "x"}, {}, "titel", "did you mean “title”"),
        ({"title": 5}, {}, "title", "must be a text"),
        ({"title": "x" * 201}, {}, "title", "200 are the most"),
        ({"data": {"count": 5}}, {}, "data.count", 'as "5"'),
        ({"data": []}, {}, "data", "must be an object"),
        ({"image": "http://example.com/a.png"}, {}, "image", "https://"),
        ({}, {"locales": {"de": "Hallo"}}, "locales.de", "must be an object"),
        ({}, {"locales": {"not a tag": {}}}, "locales.not a tag", "BCP 47"),
        ({}, {"locales": {"de": {"boddy": "x"}}}, "locales.de.boddy", "did you mean “body”"),
        ({}, {"overrides": {"andriod": {}}}, "overrides.andriod", "did you mean “android”"),
        ({}, {"overrides": []}, "overrides", "must be an object"),
        ({"android": {"chanel_id": "x"}}, {}, "android.chanel_id", "did you mean “channel_id”"),
        ({"ios": {"priority": 7}}, {}, "ios.priority", "one of 1, 5, 10"),
        ({"web": []}, {}, "web", "must be an object"),
        ({}, {"overrides": {"ios": {"ios": {"badge": -1}}}}, "overrides.ios.ios.badge", "from 0"),
        ({}, {"locales": {"de": {"web": {"icon": "x"}}}}, "locales.de.web.icon", "https://"),
        ({}, {"locales": {f"x{'abcdefgh'[n % 8]}-{n}": {} for n in range(60)}}, "locales", "60 are the most"),
    ],
)
def test_what_cannot_be_used_names_its_field(
    base: dict[str, Any], more: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(ContentError) as refused:
        build(base, locale="en", **more)
    assert refused.value.field == field
    assert reason in refused.value.reason
