"""What is said otherwise on a platform, written as a marketer does who never saw JSON; and seen in the preview."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.admin_hub import SUBSCRIBERS, AdminHub
from tests.browser.album import Album
from tests.browser.test_first_campaign import add_row, drawn, sign_in, tab_to, write

pytestmark = pytest.mark.server

SAID = (
    "import json\n"
    "from campaigns.models import Campaign\n"
    "made = Campaign.objects.get(name='By platform')\n"
    "print(json.dumps([made.overrides, made.ios, made.badge]))"
)


def open_tab(page: Page, platform: str) -> None:
    """Choose a platform by keyboard; the preview shows that platform then."""
    tab = page.locator(f"#nh-tab-{platform}")
    page.locator("[data-tabs] [role=tab][aria-selected=true]").focus()
    for _ in range(5):
        if tab.get_attribute("aria-selected") == "true":
            break
        page.keyboard.press("ArrowRight")
    expect(page.locator(f"#nh-panel-{platform}")).to_be_visible()
    expect(page.locator(f"#nh-screen-{platform}")).to_be_visible()
    expect(page.locator(".nh-panel:visible")).to_have_count(1)


def test_a_marketer_says_it_otherwise_on_each_platform(album: Album, admin_hub: AdminHub) -> None:
    page = album.page
    admin_hub.python(SUBSCRIBERS)
    sign_in(page, admin_hub, "eva")
    page.goto(f"{admin_hub.base_url}/admin/campaigns/campaign/add/")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    assert not [text for text in page.locator("textarea").all() if text.input_value().startswith(("{", "["))]
    expect(page.get_by_text("as JSON")).to_have_count(0)
    write(page, "name", "By platform")
    write(page, "title", "Autumn sale")
    write(page, "badge", "2")
    page.get_by_label("As read by").fill("p0")
    drawn(page)

    # an iOS badge; what it is without one stands in the field
    open_tab(page, "ios")
    badge = page.locator("[name='ios__badge']")
    expect(badge).to_have_attribute("placeholder", "2")
    tab_to(page, "[name='ios__badge']")
    page.keyboard.insert_text("many")
    drawn(page)
    expect(page.locator("#nh-panel-ios .nh-live")).to_have_text(re.compile("must be auto"))
    album.take("platforms-wrong", axe=".nh-composer")
    write(page, "ios__badge", "7")
    expect(page.locator(".nh-live")).to_have_count(0)
    expect(page.locator("#nh-screen-ios .nh-app")).to_have_attribute("data-badge", "7")
    expect(page.locator("#nh-screen-android .nh-app")).to_have_attribute("data-badge", "2")
    page.locator("#nh-panel-ios").get_by_role("button", name="+ Add an option").focus()
    add_row(page, "relevance_scor")
    expect(page.locator("#nh-panel-ios .nh-live")).to_have_text(re.compile("did you mean “relevance_score”?"))
    page.keyboard.insert_text("e")
    page.keyboard.press("Tab")
    page.keyboard.insert_text("0.5")
    drawn(page)
    expect(page.locator(".nh-live")).to_have_count(0)
    album.take("platforms-ios", axe=".nh-composer")

    # a button that browsers alone draw
    open_tab(page, "web")
    tab_to(page, "#nh-panel-web [data-rows='web__buttons'] [data-add]")
    add_row(page, "Shop now", "https://shop.example/")
    expect(page.locator("#nh-screen-web [data-buttons]")).to_have_text("Shop now")
    album.take("platforms-web", axe=".nh-composer")

    # data for the TV's app, with something about the person
    open_tab(page, "tv")
    tab_to(page, "#nh-panel-tv [data-add]")
    add_row(page, "row", "{{ first_name | shout }}")
    expect(page.locator("#nh-panel-tv .nh-cell-value .nh-live")).to_have_text("unknown filter 'shout'")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("{{ first_name }}")
    drawn(page)
    expect(page.locator("#nh-screen-tv [data-told] dd")).to_have_text("row: Ada")
    expect(page.locator("#nh-screen-ios [data-told] dd")).to_have_count(0)
    for platform, differs in {"android": 0, "ios": 1, "web": 1, "tv": 1, "stick": 0}.items():
        expect(page.locator(f"#nh-tab-{platform} [data-dot]:visible")).to_have_count(differs)
    album.take("platforms-tv", axe=".nh-composer")

    page.get_by_role("button", name="Save and continue editing").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("was added successfully")).to_be_visible()
    overrides, ios, badge_of_all = json.loads(admin_hub.python(SAID))
    assert overrides == {
        "ios": {"badge": "7"},
        "web": {
            "web": {
                "actions": [{"action": "shop-now", "title": "Shop now", "navigate": "https://shop.example/"}]
            }
        },
        "tv": {"data": {"row": "{{ first_name }}"}},
    }
    assert (ios, badge_of_all) == ({"relevance_score": 0.5}, "2")
    open_tab(page, "web")
    expect(page.locator("[name='web__buttons-0-label']")).to_have_value("Shop now")
    assert not album.wrong, "\n".join(album.wrong)
