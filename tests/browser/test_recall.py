"""One recalled in flight, as a marketer does it: the page tells by itself how far it is, and the name is typed.

All of that story is done in the admin: one writes it, an approver launches it, and whoever wrote it takes it back.
"""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from notifyhub.demo.stage import PROJECT
from tests.browser.admin_hub import PASSWORD, STAFF
from tests.browser.chromium import WAIT_MS, wait_until
from tests.browser.test_first_campaign import sign_in, sign_out
from tests.browser.test_stories import approve, check, compose, save
from tests.pipeline.live_hub import LiveHub

from .screens import SIZES, fits, shoot

pytestmark = pytest.mark.server
PEOPLE, PHONES = 10_200, 400
NAME = "Spring sale, wrong price"
CROWD = """
from uuid import uuid4
from django.contrib.auth.models import User
from devices.fields import token_digest
from devices.models import Application, Device, Membership, Subscriber
application = Application.objects.get(slug="demo")
User.objects.create_superuser("ada", password=%r)
for name, role in %r.items():
    user = User.objects.create_user(name, password=%r, is_staff=True)
    Membership.objects.create(user=user, application=application, role=role)
people = Subscriber.objects.bulk_create([
    Subscriber(application=application, external_id=f"crowd-{number}", locale=("en", "de", "es")[number %% 3])
    for number in range(%d)
], batch_size=500)
tokens = %r
Device.objects.bulk_create([
    Device(
        application=application, subscriber=person,
        platform="android" if number < len(tokens) else ("web", "tv")[number %% 2],
        provider="fcm" if number < len(tokens) else "socket",
        token=tokens[number] if number < len(tokens) else "",
        token_digest=token_digest(tokens[number]) if number < len(tokens) else "",
    )
    for number, person in enumerate(people)
], batch_size=500)
"""


@pytest.fixture(scope="module")
def crowded(live_hub: LiveHub) -> LiveHub:
    """A hub with more people than may be recalled without their run's name, with `STAFF` and a superuser."""
    tokens = live_hub.fleet.make_fcm_devices(PHONES, project=PROJECT)
    live_hub.manage("shell", "-c", CROWD % (PASSWORD, STAFF, PASSWORD, PEOPLE, list(tokens)))
    return live_hub


def launch(hub: LiveHub, name: str, **fields: Any) -> str:
    """Launch a campaign; return its run's id."""
    campaign = hub.api("POST", "campaigns", {"name": name, "title": "Half price", "lane": "normal", **fields})
    return str(hub.api("POST", f"campaigns/{campaign['id']}/launch")["run"])


def open_run(page: Page, hub: LiveHub, name: str) -> None:
    page.goto(f"{hub.base_url}/admin/delivery/run/?q={name.split(',')[0].replace(' ', '+')}")
    page.get_by_role("link", name=name).first.click()
    expect(page.locator("#run-state")).to_be_visible()


def sent(hub: LiveHub, run: str) -> int:
    outcomes = hub.api("GET", f"runs/{run}")["progress"]["outcomes"]
    return int(outcomes.get("sent", 0) + outcomes.get("stored", 0))


def funnel(hub: LiveHub, run: str) -> dict[str, int]:
    """Return how many people each stage of a run's report counts."""
    return {stage["name"]: stage["people"] for stage in hub.api("GET", f"runs/{run}/report")["funnel"]}


def told(page: Page) -> int:
    text = page.locator("#run-numbers").inner_text()
    return int(text.split(" told")[0].rsplit(" ", 1)[1].replace(",", ""))


def test_one_recalled_in_flight(page: Page, crowded: LiveHub) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(error.message))
    sign_in(page, crowded, "eva")
    compose(page, crowded, name=NAME, title="Half price")
    page.get_by_text("How fast, and what may hold it back").click()
    page.locator("[name='rate']").fill("250")
    page.locator("[name='lane']").select_option("normal")
    save(page)
    check(page)
    page.locator("form[action*='submit'] button").click()
    expect(page.get_by_text("It waits for approval.")).to_be_visible()

    sign_out(page)
    sign_in(page, crowded, "anton")
    shoot(page, "dashboard")
    page.get_by_role("link", name="1 waiting for approval").click()
    page.get_by_role("link", name=NAME).click()
    check(page)
    approve(page)
    page.get_by_role("button", name=re.compile(r"^Launch to [\d,]+ people now")).click()
    expect(page.get_by_text("Launched: it is on its way")).to_be_visible()

    sign_out(page)
    sign_in(page, crowded, "eva")
    open_run(page, crowded, NAME)
    run = next(
        one["id"] for one in crowded.api("GET", "runs?origin=campaign:")["items"] if one["title"] == NAME
    )
    expect(page.locator("#run-how")).to_have_text("These numbers are live.")
    before = told(page)
    page.wait_for_function(
        f"parseInt(document.querySelector('#run-numbers').innerText.split(' told')[0].split(' ').pop()"
        f".replace(/,/g, '')) > {before}"
    )
    shoot(page, "run-live")
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        assert fits(page)
    page.get_by_role("link", name="Recall").click()
    page.get_by_label("Type").fill("Spring sale")
    shoot(page, "run-recall")
    page.get_by_role("button", name="Recall the run").click()
    expect(page.get_by_text("nothing was done")).to_be_visible()
    assert crowded.api("GET", f"runs/{run}")["state"] == "running"
    page.get_by_label("Type").fill(NAME)
    page.get_by_role("button", name="Recall the run").click()
    began = time.monotonic()
    expect(page.locator("#run-state")).to_have_text("Recalled")
    # the promise is one of time: two seconds after the recall nothing starts any more
    time.sleep(max(0.0, 2.0 - (time.monotonic() - began)))
    held = sent(crowded, run)
    arrived = crowded.fleet.arrived(run=run)["total"]["accepted"]
    time.sleep(3.0)  # in which the rate would have let 750 more start
    assert sent(crowded, run) == held < PEOPLE
    assert crowded.fleet.arrived(run=run)["total"]["accepted"] == arrived
    shoot(page, "run-recalled")
    assert faults == []


def test_another_page_of_the_run_hears_of_the_pause_by_itself(
    page: Page, chromium: Browser, crowded: LiveHub
) -> None:
    sign_in(page, crowded, "ada")
    name = "Pause me, please"
    run = launch(crowded, name, rate=50)
    open_run(page, crowded, name)
    expect(page.locator("#run-state")).to_have_text("Running")
    began = time.monotonic()
    crowded.api("POST", f"runs/{run}/pause")
    expect(page.locator("#run-state")).to_have_text("Paused", timeout=2_000 + 3_000)
    assert time.monotonic() - began < 5
    expect(page.get_by_role("link", name="Resume")).to_be_visible()
    expect(page.locator("#run-said")).to_have_text("Paused")
    crowded.api("POST", f"runs/{run}/cancel")
    expect(page.locator("#run-state")).to_have_text("Cancelled")


def test_without_a_socket_the_page_asks_and_without_scripts_it_can_be_reloaded(
    page: Page, chromium: Browser, crowded: LiveHub
) -> None:
    sign_in(page, crowded, "ada")
    name = "By hand, slowly"
    run = launch(crowded, name, rate=50)
    page.route_web_socket(lambda address: "/ws/admin/" in address, lambda socket: socket.close())
    open_run(page, crowded, name)
    expect(page.locator("#run-how")).to_have_text("These numbers are renewed every two seconds.")
    crowded.api("POST", f"runs/{run}/pause")
    expect(page.locator("#run-state")).to_have_text("Paused")
    plain = chromium.new_context(java_script_enabled=False, storage_state=page.context.storage_state())
    try:
        tab = plain.new_page()
        tab.goto(page.url)
        expect(tab.locator("#run-state")).to_have_text("Paused")
        crowded.api("POST", f"runs/{run}/cancel")
        tab.get_by_role("link", name="Reload the page").click()
        expect(tab.locator("#run-state")).to_have_text("Cancelled")
    finally:
        plain.close()


def test_a_report_shows_what_devices_said(page: Page, crowded: LiveHub) -> None:
    sign_in(page, crowded, "ada")
    name = "Reported, in full"
    run = launch(crowded, name)
    open_run(page, crowded, name)
    expect(page.locator("#run-state")).to_have_text("Done", timeout=12 * WAIT_MS)
    for number in range(30):
        person = f"crowd-{PHONES + number}"
        device = crowded.api("GET", f"devices?subscriber={person}")["items"][0]["id"]
        token = crowded.api("POST", "tokens", {"subscriber": person, "device": device})["token"]
        entries = crowded.api("GET", "inbox", secret=token)["entries"]
        ids = [entry["id"] for entry in entries if entry["run"] == run]
        kinds = ("acknowledged", "displayed", "opened")[: 1 + number % 3]
        body = {"receipts": [{"kind": kind, "ids": ids} for kind in kinds]}
        crowded.api("POST", "receipts", body, secret=token)
    wait_until(page, lambda: funnel(crowded, run)["opened"] >= 10, within=3 * WAIT_MS)
    people = funnel(crowded, run)
    assert (people["opened"], people["displayed"]) == (10, 20)
    assert people["told"] > PEOPLE
    open_run(page, crowded, name)
    page.locator("#run-button-report").click()
    expect(page.get_by_role("heading", name="How far it got")).to_be_visible()
    expect(page.get_by_role("row", name="Opened").first).to_contain_text("10")
    shoot(page, "run-report")
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        assert fits(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename.startswith("report-reported-in-full")
    page.goto(f"{crowded.base_url}/admin/delivery/run/")
    for box in page.locator("input.action-select").all()[:3]:
        box.check()
    page.locator("select[name=action]").select_option(label="Compare")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("heading", name="Runs side by side").first).to_be_visible()
    shoot(page, "runs-compared")


def test_an_alert_rule_is_made_and_tried(page: Page, crowded: LiveHub) -> None:
    sign_in(page, crowded, "ada")
    page.goto(f"{crowded.base_url}/admin/delivery/alertrule/add/")
    page.locator("#id_name").fill("Operators")
    page.locator("#id_emails").fill("ada@example.com")
    shoot(page, "alert-rule")
    page.get_by_role("button", name="Save").first.click()
    page.locator("#result_list").get_by_role("link", name="Operators").click()
    page.get_by_role("link", name="Send a test alert").click()
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_text("is on its way")).to_be_visible()
    wait_until(page, lambda: tried(page), within=3 * WAIT_MS)
    shoot(page, "alert-rule-tested")
    page.goto(f"{crowded.base_url}/admin/")
    shoot(page, "dashboard-busy")


def tried(page: Page) -> bool:
    """Return whether the note was tried by now; this hub has no mail server, and the page says so."""
    page.reload()
    return page.get_by_text("NOTIFYHUB_EMAIL_URL").count() > 0
