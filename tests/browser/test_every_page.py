"""Every page of the admin: axe-core finds nothing against WCAG 2.2 AA, light or dark, keys go everywhere and are seen,
nothing is wider than a phone. Pictures of each page go to `build/screenshots/`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from .admin_hub import PASSWORD, AdminHub
from .album import AXE, FOLDER, LAPTOP, PHONE, dress, faults

pytestmark = pytest.mark.server

BOSS = "ada"
WORLD = f"""
import json
from django.contrib.auth.models import User
from tests.admin_pages import pages
from tests.admin_world import build
boss = User.objects.create_superuser({BOSS!r}, password={PASSWORD!r})
world = build("Northwind")
print(json.dumps(pages(world, boss)))
"""
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
CALM = """
() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("*, *::before, *::after { transition: none !important; animation: none !important; }");
  document.adoptedStyleSheets = [sheet];
}
"""
KEYS = """
() => {
  const wrong = [];
  const looks = element => {
    const style = getComputedStyle(element);
    return [style.outlineStyle === "none" ? "" : style.outlineWidth + style.outlineColor, style.boxShadow,
            style.borderColor, style.backgroundColor, style.textDecorationLine].join("|");
  };
  const around = element => [element, element.parentElement, element.closest("label"), element.nextElementSibling,
                             element.parentElement?.parentElement];
  for (const element of document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")) {
    const place = element.outerHTML.slice(0, 160);
    if (element.tabIndex > 0) { wrong.push("positive tabindex: " + place); }
    if (element.tabIndex < 0 || element.disabled || !element.checkVisibility()) { continue; }
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) { continue; }
    document.activeElement?.blur();
    const parts = around(element).filter(Boolean);
    const before = parts.map(looks).join();
    element.focus({focusVisible: true, preventScroll: true});
    if (document.activeElement !== element) { continue; }
    if (parts.map(looks).join() === before) { wrong.push("focus is not seen: " + place); }
  }
  document.activeElement?.blur();
  return wrong;
}
"""
STRAIT = """
() => {
  const wrong = [];
  const shown = one => one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length;
  for (const one of document.querySelectorAll("body *")) {
    const told = [...one.childNodes].filter(part => part.nodeType === 3).map(part => part.data.trim()).join(" ");
    const {width, height} = one.getBoundingClientRect();
    if (told.length > 40 && width < 90 && height > 60 && shown(one) && !one.closest("script, style, .sr-only")) {
      wrong.push(`in ${Math.round(width)} pixels: ${told}`);
    }
  }
  for (const row of document.querySelectorAll("fieldset .field-row, fieldset .form-row, fieldset .field-line")) {
    const box = row.getBoundingClientRect();
    for (const one of row.querySelectorAll("input, select, textarea, button")) {
      const part = one.getBoundingClientRect();
      if (shown(one) && part.width && part.right > box.right + 1 && !one.closest(".overflow-x-auto, .absolute")) {
        wrong.push(`${Math.round(part.right - box.right)} pixels out of its row: ${one.outerHTML.slice(0, 120)}`);
      }
    }
  }
  return wrong;
}
"""
IN_OTHER_LANGUAGES = (
    "index",
    "campaigns_campaign_add",
    "campaigns_campaign_changelist",
    "campaigns_campaign_preflight",
    "campaigns_calendar",
    "campaigns_why",
    "delivery_run_change",
    "delivery_run_report",
    "devices_segment_add",
    "preferences",
)
CUT = """
() => [...document.querySelectorAll("button, .nh-button, h1, h2, label:not(.nh-hidden), th, a:not(.truncate)")]
  .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0
    && getComputedStyle(one).overflowX !== "visible" && getComputedStyle(one).display !== "inline")
  .map(one => one.outerHTML.slice(0, 200))
"""


class Walk:
    """A walk through pages, with what was found wrong on them."""

    def __init__(self, page: Page, hub: AdminHub) -> None:
        self.page, self.hub = page, hub
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))

    def sign_in(self) -> None:
        self.page.goto(f"{self.hub.base_url}/admin/login/?next=/admin/")
        self.look("login")
        self.page.locator("[name=username]").fill(BOSS)
        self.page.locator("[name=password]").fill(PASSWORD)
        self.page.locator("[type=submit]").click()
        self.page.wait_for_url("**/admin/")

    def look(self, name: str) -> None:
        """Look at the page that is open: light and dark, on a laptop and a phone, with a mouse and without."""
        page = self.page
        page.evaluate(CALM)
        # so high that the row of buttons, which sticks to the bottom, hides nothing
        high = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": LAPTOP["width"], "height": max(high + 100, LAPTOP["height"])})
        dress(page, "light")
        self._axe(name, AXE)
        self._picture(name, "laptop-light")
        self.wrong += [f"{name}: {one}" for one in page.evaluate(KEYS)]
        self.wrong += [f"{name}: {one}" for one in page.evaluate(STRAIT)]
        dress(page, "dark")
        self._axe(f"{name}, dark", CONTRAST)
        self._picture(name, "laptop-dark")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        dress(page, "light")
        self._fits(name)
        self._picture(name, "phone-light")
        dress(page, "dark")
        self._picture(name, "phone-dark")
        dress(page, "light")
        page.set_viewport_size(LAPTOP)  # type: ignore[arg-type]

    def read(self, name: str, language: str) -> None:
        """Look whether the page that is open has room for the words of another language."""
        for device, size in (("laptop", LAPTOP), ("phone", PHONE)):
            self.page.set_viewport_size(size)  # type: ignore[arg-type]
            self._fits(f"{name} in {language} on a {device}")
            self.wrong += [f"{name}, {language}, {device}: cut: {one}" for one in self.page.evaluate(CUT)]
            self._picture(f"{name}-{language}", device)
        self.page.set_viewport_size(LAPTOP)  # type: ignore[arg-type]

    def _fits(self, name: str) -> None:
        wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wide > 0:
            self.wrong.append(f"{name}: {wide} pixels wider than the screen")

    def _axe(self, name: str, options: Any) -> None:
        found = Axe().run(self.page, options=options).response
        assert found["passes"], f"axe-core looked at nothing on {name}"
        self.wrong += faults(found, name)

    def _picture(self, name: str, kind: str) -> None:
        self.page.screenshot(path=FOLDER / f"page-{name}-{kind}.png", full_page=True)


@pytest.fixture(scope="module")
def every_page(admin_hub: AdminHub) -> dict[str, str]:
    """The addresses of all pages of a hub with one of everything, by name."""
    found = json.loads(admin_hub.python(WORLD))
    return dict(found)


@pytest.fixture(scope="module")
def walk(chromium: Browser, admin_hub: AdminHub, every_page: dict[str, str]) -> Iterator[Walk]:
    """A superuser's walk, signed in."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    context = chromium.new_context(viewport=LAPTOP, timezone_id="Europe/Berlin")  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    walk = Walk(context.new_page(), admin_hub)
    walk.sign_in()
    yield walk
    context.close()


def test_every_page_is_for_everybody(walk: Walk, every_page: dict[str, str]) -> None:
    assert len(every_page) > 80
    for name, address in every_page.items():
        answer = walk.page.goto(f"{walk.hub.base_url}{address}")
        assert answer is not None and answer.status == 200, address
        walk.look(name)
    assert not walk.wrong, "\n".join(dict.fromkeys(walk.wrong))


@pytest.mark.parametrize("language", ["de", "ja"])
def test_pages_have_room_for_other_languages(walk: Walk, every_page: dict[str, str], language: str) -> None:
    walk.wrong.clear()
    base = walk.hub.base_url
    walk.page.goto(f"{base}/admin/")
    walk.page.evaluate(
        """async language => {
          const body = new URLSearchParams({language, next: "/admin/"});
          body.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
          await fetch("/admin/language/", {method: "POST", body});
        }""",
        language,
    )
    for name in IN_OTHER_LANGUAGES:
        walk.page.goto(f"{base}{every_page[name]}")
        if name != "preferences":  # which is in the subscriber's language
            assert walk.page.locator("html").get_attribute("lang") == language
            assert re.search("Europe/Berlin", walk.page.locator(".nh-zone").inner_text())
        walk.read(name, language)
    assert not walk.wrong, "\n".join(dict.fromkeys(walk.wrong))
