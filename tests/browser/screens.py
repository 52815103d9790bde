"""Pictures of pages, as people see them: on a laptop and on a phone, light and dark, in `build/screenshots/`."""

from pathlib import Path

from playwright.sync_api import Page

FOLDER = Path(__file__).parents[2] / "build" / "screenshots"
SIZES = {"laptop": (1366, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")


def shoot(page: Page, name: str) -> None:
    """Take a picture of the whole page in each size and scheme; the page is left as it was on a laptop, light."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for scheme in reversed(SCHEMES):
        # the admin follows a choice of its own, kept in the browser: this is what it makes of it
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        for size, (width, height) in reversed(SIZES.items()):
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=FOLDER / f"{name}-{size}-{scheme}.png", full_page=True)


def fits(page: Page) -> bool:
    """Return whether nothing of the page stands out at its side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
