"""A marketer makes an audience on the real hub, by keyboard and from a file; a person chooses for themselves."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pipeline.live_hub import VISITOR, LiveHub

from .album import Album

pytestmark = pytest.mark.server

PASSWORD = "a-word-for-tests-9"
STAFF = f"""
from django.contrib.auth.models import User
from devices.models import Application, Category, Membership
shop = Application.objects.get()
user = User.objects.create_user("eva", password={PASSWORD!r}, is_staff=True)
Membership.objects.create(user=user, application=shop, role="marketer")
Category.objects.get_or_create(application=shop, key="offers", defaults={{"name": "Offers"}})
"""


@pytest.fixture(scope="module")
def hub(live_hub: LiveHub) -> LiveHub:
    live_hub.manage("shell", "-c", STAFF)
    return live_hub


@pytest.fixture
def album(page: Page, hub: LiveHub) -> Album:
    album = Album(page)
    page.goto(f"{hub.base_url}/admin/login/")
    page.get_by_label("Username").fill("eva")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{hub.base_url}/admin/")
    return album


def focused(page: Page) -> str:
    return str(
        page.evaluate(
            "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
        )
    )


def press_until(page: Page, label: str, key: str = "Tab") -> None:
    """Go on with a key until something of that name has the focus."""
    seen = []
    for _ in range(40):
        page.keyboard.press(key)
        seen.append(focused(page).strip())
        if seen[-1] == label:
            return
    raise AssertionError(f"{label} was not reached: {seen}")


def test_a_segment_is_built_by_keyboard_and_counted_while_one_types(hub: LiveHub, album: Album) -> None:
    page = album.page
    page.goto(f"{hub.base_url}/admin/devices/segment/add/")
    result = page.locator("[data-result]")
    expect(result).to_contain_text("Fill in every condition")
    page.locator("#id_name").focus()
    page.keyboard.type("Who pays, here or there")
    press_until(page, "What it is about")
    press_until(page, "attribute")
    page.keyboard.type("plan")
    press_until(page, "value")
    page.keyboard.type("pro")
    expect(result).to_contain_text(re.compile(r"people? of 2\d"))
    press_until(page, "Add a group")
    page.keyboard.press("Enter")
    assert focused(page) == "How many of the conditions must hold"
    press_until(page, "What it is about")
    page.keyboard.type("Lang")
    press_until(page, "value")
    page.keyboard.type("de")
    press_until(page, "Add a condition")
    page.keyboard.press("Enter")
    assert focused(page) == "What it is about"
    page.keyboard.type("App v")
    press_until(page, "value")
    page.keyboard.type("newest")
    expect(
        page.get_by_role("alert").filter(has_text="Write a version of one to four numbers")
    ).to_be_visible()
    album.take("segment-with-an-error")
    page.keyboard.press("Shift+Tab")
    press_until(page, "value")
    page.keyboard.press("Control+a")
    page.keyboard.type("2.0")
    expect(result).to_contain_text(re.compile(r"people? of 2\d"))
    page.get_by_text("As JSON, as the API takes it").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#id_predicate")).to_have_value(re.compile(r'"any"'))
    album.take("segment-builder")
    page.get_by_role("button", name="Save", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("was added successfully")).to_be_visible()
    saved = next(one for one in hub.api("GET", "segments")["items"] if one["name"].startswith("Who pays"))
    assert saved["predicate"] == {
        "all": [
            {"attribute": "plan", "is": "pro"},
            {"any": [{"locale": "de"}, {"app_version": "2.0"}]},
        ]
    }
    page.goto(f"{hub.base_url}/admin/devices/segment/")
    album.take("segments")
    assert album.wrong == []


def test_behaviour_nested_segments_and_json_are_edited_and_read_back(hub: LiveHub, album: Album) -> None:
    page = album.page
    inner = hub.api("POST", "segments", {"name": "Germans", "predicate": {"locale": "de"}})["id"]
    predicate = {
        "all": [
            {"not": {"segment": inner}},
            {"event": "com.example.bought", "at_least": 3, "within_days": 30},
            {"opened": {"at_most": 0, "within_days": 90}},
            {"not": {"any": [{"tag": ["vip", "new"]}, {"platform": ["tv", "stick"]}]}},
            {"attribute": "plan", "in": ["pro", None]},
            {"last_seen": {"within_days": 14}},
            {"device_locale": ["de", "pt-BR"]},
            {"not": {"device_time_zone": "Asia/Tokyo"}},
        ]
    }
    made = hub.api("POST", "segments", {"name": "Quiet ones", "predicate": predicate})
    page.goto(f"{hub.base_url}/admin/devices/segment/?q=Quiet")
    page.get_by_role("link", name="Quiet ones").click()
    expect(page.locator("[data-result]")).to_contain_text("is counted since")
    album.take("segment-behaviour")
    # the builder writes the same predicate that it read
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert hub.api("GET", f"segments/{made['id']}")["predicate"] == predicate
    assert album.wrong == []


def test_a_file_is_imported_and_its_bad_rows_come_back(hub: LiveHub, album: Album, tmp_path: Path) -> None:
    page = album.page
    rows = "".join(
        f"new-{number};de;{'Europe/Berlin' if number % 500 else 'Mars'};pro\n" for number in range(6_000)
    )
    file = tmp_path / "people.csv"
    file.write_bytes(("external_id;locale;time_zone;plan\n" + rows).encode("latin-1"))
    page.goto(f"{hub.base_url}/admin/devices/import/add/")
    album.take("import")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("progress")).to_be_visible()
    album.take("import-running")
    expect(page.locator("#import-state")).to_have_text("Done", timeout=60_000)
    expect(page.locator("[data-sentence]")).to_have_text(
        "6,000 of 6,000 rows: 5,988 made, 0 changed, 12 refused."
    )
    album.take("import-done")
    with page.expect_download() as download:
        page.get_by_role("link", name="Rows that were refused").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert len(lines) == 13 and "is no IANA time zone" in lines[1]
    page.goto(f"{hub.base_url}/admin/devices/import/add/")
    page.get_by_label("CSV file").set_input_files(
        {"name": "people.xlsx", "mimeType": "application/zip", "buffer": b"PK\x03\x04" + b"x" * 99}
    )
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("an Excel workbook (xlsx), not a CSV file")
    album.take("import-refused")
    assert album.wrong == []


def test_a_person_is_looked_up(hub: LiveHub, album: Album) -> None:
    page = album.page
    hub.push("Hello there")
    page.goto(f"{hub.base_url}/admin/campaigns/campaign/why/?subscriber={VISITOR}")
    expect(page.get_by_role("heading", name="Newest notifications")).to_be_visible()
    album.take("person")
    page.get_by_label("Campaign").select_option(index=1)
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("heading", name=re.compile(f"{VISITOR} (got|did not|has not)"))).to_be_visible()
    album.take("why")
    assert album.wrong == []


def test_a_person_chooses_without_javascript(hub: LiveHub, chromium: Browser) -> None:
    told = hub.api("POST", f"subscribers/{VISITOR}/preference-link", {"category": "offers"})
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(told["url"])
    page.get_by_label("Offers").uncheck()
    page.get_by_label("My own:").check()
    page.get_by_label("from").fill("21:30")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Your settings are saved.")
    page.goto(told["opt_out_url"])
    page.get_by_role("button", name="Stop them").click()
    expect(page.get_by_role("status")).to_contain_text("no more notifications about “Offers”")
    context.close()
    person = hub.api("GET", f"subscribers/{VISITOR}")
    assert (person["quiet_hours"], person["time_zone"]) == ("21:30-08:00", "Asia/Tokyo")
    pictures = chromium.new_page()
    album = Album(pictures)
    for name, address in (("preferences", told["url"]), ("opt-out", told["opt_out_url"])):
        pictures.goto(address)
        album.take(name)
    pictures.close()
    assert album.wrong == []
