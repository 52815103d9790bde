"""A mistake that the check finds, told as a marketer lives it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.admin_hub import SUBSCRIBERS, AdminHub
from tests.browser.album import Album
from tests.browser.test_first_campaign import sign_in, write

pytestmark = pytest.mark.server
expect.set_options(timeout=20_000)  # the machine may be busy


@pytest.fixture(scope="module")
def shop(admin_hub: AdminHub) -> AdminHub:
    """A hub with people in Berlin and in Tokyo."""
    admin_hub.python(SUBSCRIBERS)
    return admin_hub


def compose(page: Page, hub: AdminHub, **texts: str) -> None:
    """Begin a campaign."""
    page.goto(f"{hub.base_url}/admin/campaigns/campaign/add/")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    for field, text in texts.items():
        write(page, field, text)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("successfully")).to_be_visible()


def check(page: Page) -> None:
    page.get_by_role("link", name="Check and launch").first.click()
    expect(page.get_by_role("heading", name=re.compile("^Before the launch of"))).to_be_visible()


def test_a_mistake_that_the_check_finds(album: Album, shop: AdminHub) -> None:
    page = album.page
    sign_in(page, shop, "eva")
    compose(
        page,
        shop,
        name="Oops",
        title="Hi {{ first_nam }}",
        body="<b>Only today</b>",
        link="http://shop.example",
    )
    write(page, "ttl", "60")
    save(page)
    check(page)
    warnings = page.locator("li", has_text="first_nam")
    expect(warnings.first).to_contain_text("did you mean `first_name`?")
    for said in ("60 seconds after it begins", "HTML"):
        expect(page.locator("li", has_text=said).first).to_be_visible()
    album.take("story-mistake", axe=".nh-composer")
    warnings.first.get_by_role("link", name="Change it").click()
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    write(page, "title", "Hi {{ first_name }}")
    write(page, "body", "Only today")
    write(page, "ttl", "86400")
    save(page)
    check(page)
    for said in ("did you mean", "60 seconds after it begins", "HTML"):
        expect(page.locator("li", has_text=said)).to_have_count(0)
    expect(page.get_by_text("Hi Ada").first).to_be_visible()
