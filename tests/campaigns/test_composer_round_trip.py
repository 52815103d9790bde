"""What a campaign says, through the composer's page and a browser, and back: nothing gets lost."""

from html.parser import HTMLParser
from typing import Any

import pytest
from django.forms import modelform_factory
from django.http import QueryDict
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from campaigns.admin.campaign_form import CampaignForm
from campaigns.composing import KEPT_IN
from campaigns.content import PLATFORMS
from campaigns.models import Campaign
from devices.models import Application

pytestmark = pytest.mark.django_db(databases=["default", "log"])

CONTENT = ("title", "body", *KEPT_IN, "data", "locales")
Content = dict[str, Any]
EXAMPLES = 30
"""A page has a hundred inputs; each example makes one or two."""


class Browser(HTMLParser):
    """Reads a form as a browser does that posts it as it stands."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.posted = QueryDict(mutable=True)
        self._templates, self._area, self._select = 0, "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        name, value = said.get("name") or "", said.get("value") or ""
        self._templates += tag == "template"
        if self._templates:
            return
        if tag == "input" and name and said.get("type") != "file":
            if said.get("type") != "checkbox" or "checked" in said:
                self.posted[name] = value.replace("\r", "").replace("\n", "") if "value" in said else "on"
                if said.get("type") == "text" and "value" not in said:
                    self.posted[name] = ""
        elif tag == "textarea":
            self._area, self.posted[name] = name, ""
        elif tag == "select":
            self._select, self.posted[name] = name, ""
        elif tag == "option" and "selected" in said:
            self.posted[self._select] = value

    def handle_endtag(self, tag: str) -> None:
        self._templates -= tag == "template"
        if tag == "textarea" and self._area:
            text = self.posted[self._area].replace("\r\n", "\n").removeprefix("\n")
            self.posted[self._area], self._area = text.replace("\n", "\r\n"), ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.posted[self._area] += data


def campaign_of(content: Content) -> Campaign:
    application, _made = Application.objects.get_or_create(slug="meadow", defaults={"name": "Meadow"})
    return Campaign(application=application, **content)


def form_of(campaign: Campaign, posted: Any = None) -> CampaignForm:
    made = modelform_factory(Campaign, form=CampaignForm, fields=["title", "body", "data", "locales"])
    return made(posted, instance=campaign)  # type: ignore[return-value]


def posted_of(campaign: Campaign) -> QueryDict:
    form = form_of(campaign)
    return Browser("".join(str(field) for field in form)).posted


def saved(campaign: Campaign, posted: QueryDict) -> Content:
    """Return what a campaign says after a form was posted to it."""
    form = form_of(campaign, posted)
    assert form.is_valid(), form.errors
    return {name: getattr(form.instance, name) for name in CONTENT}


def paths(said: Any, place: tuple[str, ...] = ()) -> Content:
    """Return every value of a content by its path, so that a difference is seen; an empty object is one."""
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    found = {key: one for name, value in inner for key, one in paths(value, (*place, str(name))).items()}
    return found or {".".join(place): said}


def made(*, exotic: bool) -> st.SearchStrategy[Content]:
    """Return contents that hold; `exotic` ones have what the page does not show, or shows otherwise."""
    ends = " \n" if exotic else ""
    word = st.text(st.sampled_from("aé語&<\"'.-" + ends), min_size=1, max_size=6).filter(str.strip)
    plain = word.filter(lambda text: text == text.strip())
    text = word if exotic else plain
    lines = st.text(st.sampled_from("aé\n <"), min_size=1, max_size=6).filter(str.strip)
    if not exotic:  # of a text that begins with an empty line a browser leaves that out
        lines = lines.filter(lambda said: not said.startswith("\n"))
    address = st.just("https://shop.example/a?b=1&c=2")

    def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Content]:
        return st.fixed_dictionaries({}, optional=fields)

    android = some(channel_id=plain, priority=st.just("HIGH"), ticker=plain, sticky=st.booleans())
    if exotic:
        android = some(
            channel_id=text,
            ticker=text,
            notification_count=st.integers(0, 9),
            vibrate_timings=st.just(["3.5s"]),
            fcm_options=st.just({"analytics_label": "x"}),
        )
    button = st.fixed_dictionaries(
        {"action": plain.filter(lambda name: "\n" not in name), "title": text},
        optional={"navigate": address, **({"icon": address} if exotic else {})},
    )
    buttons = st.lists(button, min_size=1, max_size=3, unique_by=lambda one: one["action"])
    web = some(
        icon=address,
        require_interaction=st.booleans() if exotic else st.just(True),
        actions=buttons,
        renotify=st.booleans(),
    )
    ios = some(
        thread_id=plain,
        interruption_level=st.just("passive"),
        relevance_score=st.just(0.5),
        content_available=st.sampled_from([True, False]),
        **(
            {"url_args": st.just(["a", "b"]), "sound": st.just({"name": "x", "critical": 1})}
            if exotic
            else {}
        ),
    )
    data = st.dictionaries(text if exotic else plain, lines, min_size=1, max_size=3)
    badge = st.sampled_from(["auto", "0", "7", 7, 0] if exotic else ["auto", "0", "7"])
    said = {
        **dict.fromkeys(("title", "subtitle", "sound"), text),
        "link": address,
        "image": address,
        "body": lines,
        "badge": badge,
        "data": data,
    }
    over: dict[str, st.SearchStrategy[Content]] = {
        platform: some(**said, **({"web": web, "ios": ios, "android": android} if exotic else {}))
        for platform in PLATFORMS
    }
    if not exotic:
        over["web"] = some(**said, web=st.fixed_dictionaries({"actions": buttons}))
        over = {platform: one.filter(bool) for platform, one in over.items()}
    in_language = some(
        title=text, body=lines, link=address, **({"sound": text, "data": data} if exotic else {})
    )
    return st.fixed_dictionaries(
        {
            "title": st.just("Hi"),
            "body": lines.map(str.strip),
            "data": data | st.just({}),
            "android": android,
            "ios": ios,
            "web": web,
            "overrides": st.fixed_dictionaries({}, optional=over),
            "locales": st.dictionaries(st.sampled_from(["de", "ja", "pt-BR"]), in_language, max_size=2),
        }
    )


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])
@given(made(exotic=True))
def test_a_page_that_nobody_touched_changes_nothing(content: Content) -> None:
    campaign = campaign_of(content)
    assert paths(saved(campaign, posted_of(campaign))) == paths(content)


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])
@given(made(exotic=False))
def test_what_is_written_into_an_empty_page_is_what_is_kept(content: Content) -> None:
    posted = posted_of(campaign_of(content))
    assert paths(saved(campaign_of({"title": "Hi"}), posted)) == paths(content)


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])
@given(made(exotic=True), st.sampled_from(PLATFORMS))
def test_one_field_that_is_changed_changes_nothing_else(content: Content, platform: str) -> None:
    campaign = campaign_of(content)
    posted = posted_of(campaign)
    posted[f"{platform}__title"] = "Another"
    posted["ios_options-77-key"], posted["ios_options-77-value"] = "launch_image", "x"
    overrides = {
        **content["overrides"],
        platform: {**content["overrides"].get(platform, {}), "title": "Another"},
    }
    ios = {**content["ios"], "launch_image": "x"}
    assert paths(saved(campaign, posted)) == paths({**content, "overrides": overrides, "ios": ios})


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])
@given(made(exotic=True))
def test_what_is_emptied_is_gone_and_what_has_no_field_stays(content: Content) -> None:
    campaign = campaign_of(content)
    kept = {path for paths in form_of(campaign).without_field.values() for path in paths}
    posted = posted_of(campaign)
    for name in list(posted):
        if name.startswith(tuple(f"{platform}__" for platform in PLATFORMS)) and not name.endswith("-rows"):
            posted[name] = ""
    overrides = saved(campaign, posted)["overrides"]
    left = {
        f"overrides.{platform}.{kind}.{name}"
        for platform, said in overrides.items()
        for kind, options in said.items()
        for name in options
    }
    assert left == {path for path in kept if path.startswith("overrides.") and ".actions." not in path}
