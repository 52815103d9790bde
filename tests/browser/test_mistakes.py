"""What people press and write wrong in the admin: said once, beside what it is about, and no longer than it is so."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.admin_hub import PASSWORD, SUBSCRIBERS, AdminHub
from tests.browser.album import Album
from tests.browser.test_first_campaign import drawn, sign_in, write

pytestmark = pytest.mark.server

VIEWER = f"""
from campaigns.models import Campaign
from django.contrib.auth.models import User
from devices.models import Application, Membership
shop = Application.objects.get(slug="shop")
user = User.objects.create_user("vera", password={PASSWORD!r}, is_staff=True)
Membership.objects.create(user=user, application=shop, role="viewer")
print(Campaign.objects.create(application=shop, name="Sale", title="Hi {{{{ first_name }}}}", body="Today").pk)
"""


def test_what_was_refused_stands_once_beside_its_field_until_it_is_mended(
    album: Album, admin_hub: AdminHub
) -> None:
    page = album.page
    sign_in(page, admin_hub, "eva")
    page.goto(f"{admin_hub.base_url}/admin/campaigns/campaign/add/")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    write(page, "name", "Evening")
    write(page, "window_end", "late")
    write(page, "event_delay", "2 hours")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("Please correct the errors below.")).to_be_visible()
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    expect(page.get_by_text("Write a time as 18:00.")).to_have_count(1)
    expect(page.locator("[name='window_end']")).to_have_accessible_description(
        re.compile("Write a time as 18:00.")
    )
    event = page.locator("[name='event_type']")
    expect(event).to_have_accessible_description(re.compile("Choose the event that starts it"))
    arrow = event.locator("xpath=following-sibling::span").bounding_box()
    box = event.bounding_box()
    assert arrow and box and abs(arrow["y"] + arrow["height"] / 2 - box["y"] - box["height"] / 2) < 4
    album.take("composer-refused", axe=".nh-composer")
    write(page, "window_end", "8 pm")
    write(page, "event_delay", "")
    expect(page.get_by_text("Write a time as 18:00.")).to_have_count(0)
    expect(page.get_by_text("Choose the event that starts it")).to_have_count(0)
    write(page, "title", "Good evening")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("was added successfully")).to_be_visible()


def test_whoever_may_only_look_sees_the_preview_and_when_it_is_told(
    album: Album, admin_hub: AdminHub
) -> None:
    page = album.page
    admin_hub.python(SUBSCRIBERS)
    key = admin_hub.python(VIEWER)
    sign_in(page, admin_hub, "vera")
    page.goto(f"{admin_hub.base_url}/admin/campaigns/campaign/{key}/change/")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    page.get_by_label("As read by").fill("p0")
    drawn(page)
    expect(page.locator("[data-whom]")).to_have_text("As p0 reads it, in en.")
    expect(page.locator("#nh-screen-android [data-title]")).to_have_text("Hi Ada")
    expect(page.locator("[data-when-said]")).to_contain_text("It starts at once when it is launched.")
    album.take("composer-of-a-viewer", axe=".nh-composer")


def test_a_condition_that_is_not_filled_in_is_not_saved_and_keeps_what_was_written(
    album: Album, admin_hub: AdminHub
) -> None:
    page = album.page
    sign_in(page, admin_hub, "eva")
    page.goto(f"{admin_hub.base_url}/admin/devices/segment/add/")
    page.locator("[name='name']").fill("Who pays")
    page.get_by_role("button", name="Save", exact=True).click()
    said = page.get_by_text("Fill this in, or take the condition out.")
    expect(said).to_have_count(1)
    attribute = page.get_by_label("attribute", exact=True)
    expect(attribute).to_be_focused()
    expect(attribute).to_have_accessible_description("Fill this in, or take the condition out.")
    attribute.fill("plan")
    page.get_by_label("value", exact=True).fill("pro")
    expect(said).to_have_count(0)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
