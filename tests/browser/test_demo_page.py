"""The demo subscriber's page in Chromium, on the fake hub."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from .fake_hub import FakeHub
from .page import static_folder
from .scenario import receive_lose_and_catch_up

pytestmark = pytest.mark.server

# WCAG 2.2, 1.4.3: text needs 4.5:1 against what is behind it.
CONTRAST = """() => {
  const luminance = (rgb) => rgb.map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = parts(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] === 1) { return color.slice(0, 3); }
    }
    return [255, 255, 255];
  };
  const weak = [];
  document.querySelectorAll("h1, h2, h3, p, a, button, time").forEach((element) => {
    if (!element.offsetParent || !element.textContent.trim()) { return; }
    const [one, two] = [parts(getComputedStyle(element).color).slice(0, 3), behind(element)].map(luminance);
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) { weak.push(element.textContent.trim() + " " + ratio.toFixed(2)); }
  });
  return weak;
}"""


def open_page(page: Page, hub: FakeHub) -> None:
    page.goto(hub.page_url)
    expect(page.locator("#state")).to_have_text("Connected")


def test_the_page_receives_is_cut_off_and_catches_up(page: Page, hub: FakeHub) -> None:
    receive_lose_and_catch_up(page, hub)


def test_the_page_says_what_was_done_with_a_notice(page: Page, hub: FakeHub) -> None:
    open_page(page, hub)
    shown = hub.push("Doors open at eight", link="/demo/")
    hub.wait_for_frame("receipt", ids=[shown], kind="displayed")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Open: Doors open at eight").click()
    popup.value.close()
    hub.wait_for_frame("receipt", ids=[shown], kind="opened")
    page.get_by_role("button", name="Dismiss: Doors open at eight").click()
    hub.wait_for_frame("receipt", ids=[shown], kind="dismissed")
    expect(page.locator("#notices li")).to_have_count(0)
    expect(page.get_by_text("Nothing yet")).to_be_visible()


def test_clearing_dismisses_all(page: Page, hub: FakeHub) -> None:
    open_page(page, hub)
    ids = [hub.push("one"), hub.push("two")]
    expect(page.locator("#notices li")).to_have_count(2)
    page.get_by_role("button", name="Clear all").click()
    hub.wait_for_frame("receipt", ids=ids[::-1], kind="dismissed")
    expect(page.locator("#notices li")).to_have_count(0)


def test_a_recalled_notice_leaves_the_list_and_the_toast(page: Page, hub: FakeHub) -> None:
    open_page(page, hub)
    hub.push("stays", run="run-2")
    hub.push("wrong price")
    expect(page.locator("#toast")).to_contain_text("wrong price")
    hub.say({"type": "recall", "run": "run-1"})
    expect(page.locator("#notices h3")).to_have_text(["stays"])
    expect(page.locator("#toast")).to_be_empty()


def test_a_link_that_is_no_web_address_is_not_offered(page: Page, hub: FakeHub) -> None:
    open_page(page, hub)
    for link in ("javascript:alert(1)", "//elsewhere.invalid/", "data:text/html,x"):
        hub.push("careful <b>now</b>", link=link, image=link)
    expect(page.locator("#notices h3")).to_have_text(["careful <b>now</b>"] * 3)
    expect(page.locator("#notices a, #notices img")).to_have_count(0)


def test_the_page_runs_nothing_inline() -> None:
    template = (Path(__file__).parents[2] / "templates" / "demo" / "device.html").read_text()
    assert "<script>" not in template and "style=" not in template and "onclick" not in template
    assert "innerHTML" not in (static_folder() / "device.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_can_be_read_in_light_and_dark(chromium: Browser, hub: FakeHub, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    open_page(page, hub)
    hub.push("Doors open at eight", body="Row F is yours.", link="/demo/")
    expect(page.locator("#toast")).to_contain_text("Doors open")
    assert page.evaluate(CONTRAST) == []
    for state in ("connecting", "refused"):
        page.evaluate(f"document.getElementById('state').dataset.state = '{state}'")
        assert page.evaluate(CONTRAST) == []
    context.close()


@pytest.mark.parametrize("width", [320, 390, 1366, 1920])
def test_nothing_is_wider_than_the_screen(page: Page, hub: FakeHub, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, hub)
    hub.push("Averyveryveryveryveryveryveryveryverylongwordthatnobodyhyphenated" * 2, body="x" * 200)
    expect(page.locator("#notices li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
