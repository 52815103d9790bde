"""Screenshots of a page as people have it: on a laptop and a phone, light and dark; kept in build/screenshots/."""

from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

FOLDER = Path(__file__).parents[2] / "build" / "screenshots"
AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
LAPTOP, PHONE = {"width": 1366, "height": 900}, {"width": 390, "height": 844}


class Album:
    """A page that is looked at: what it logs as wrong is kept, and pictures are taken of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("console", self._heard)

    def _heard(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        # Chromium asks for a favicon of its own accord
        place = str(getattr(message, "location", {}).get("url", ""))
        if kind == "error" and "favicon" not in place:
            self.wrong.append(f"{self.page.url}: {text} ({place})")

    def take(self, name: str, *, axe: str = "") -> None:
        """Take four pictures, as high as the page, and look that nothing is wider than the screen.

        With `axe`, a CSS selector, axe-core may find nothing against WCAG 2.2 AA in that part of the page.
        """
        FOLDER.mkdir(parents=True, exist_ok=True)
        for device, size in (("laptop", LAPTOP), ("phone", PHONE)):
            self.page.set_viewport_size(size)  # type: ignore[arg-type]
            high = self.page.evaluate("document.documentElement.scrollHeight")
            # so that what sticks to the screen's end covers nothing
            self.page.set_viewport_size({"width": size["width"], "height": max(high + 60, size["height"])})
            for scheme in ("light", "dark"):
                dress(self.page, scheme)
                self.page.screenshot(path=FOLDER / f"{name}-{device}-{scheme}.png", full_page=True)
                if axe and device == "laptop":
                    self.wrong += self._faults(axe, f"{name}, {scheme}")
            wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if wide > 0:
                self.wrong.append(f"{self.page.url}: {wide} pixels wider than a {device}")
        self.page.set_viewport_size(LAPTOP)  # type: ignore[arg-type]
        dress(self.page, "light")

    def take_part(self, name: str, first: Locator, last: Locator) -> None:
        """Take one picture of what lies between two elements of the page, on a laptop in the light."""
        high = self.page.evaluate("document.documentElement.scrollHeight")
        self.page.set_viewport_size({"width": LAPTOP["width"], "height": high + 60})
        top, end = first.bounding_box(), last.bounding_box()
        assert top and end
        clip = {
            "x": min(top["x"], end["x"]) - 16,
            "y": top["y"] - 16,
            "width": max(top["width"], end["width"]) + 32,
            "height": end["y"] + end["height"] - top["y"] + 32,
        }
        self.page.screenshot(path=FOLDER / f"{name}-laptop-light.png", clip=clip, full_page=True)  # type: ignore[arg-type]
        self.page.set_viewport_size(LAPTOP)  # type: ignore[arg-type]

    def _faults(self, part: str, where: str) -> list[str]:
        """Return what axe-core finds: rule and element."""
        found = Axe().run(self.page, context=part, options=AXE).response
        assert len(found["passes"]) > 3, "axe-core looked at nothing"
        return faults(found, where)


def faults(found: Any, where: str) -> list[str]:
    """Return what axe-core's answer says is wrong: rule, place and element."""
    return [
        f"{where}: {one['id']}: {node['target']} {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def dress(page: Page, scheme: str) -> None:
    """Show a page light or dark, whatever was chosen on it."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
