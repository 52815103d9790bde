"""Starts the system's Chromium for tests: one browser for all, one fresh profile for each."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium refuses to start as root with its sandbox
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 10_000


class ChromiumError(RuntimeError):
    """Chromium is not on this machine; the message says how to get it."""


def find_chromium() -> Path:
    """Return the browser's path: `CHROMIUM`, else the first of `NAMES` on PATH.

    Raises `ChromiumError` where there is none.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        if not os.access(named, os.X_OK):
            raise ChromiumError(f"CHROMIUM is {named}, which is not a program")
        return Path(named)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ChromiumError(
        "no Chromium on PATH: run `apt-get install chromium`, or set CHROMIUM to the path of one"
    )


def wait_until(page: Page, look: Callable[[], object], *, within: float = WAIT_MS) -> None:
    """Let the page's events through until `look` is true; asserts that this happens within so many milliseconds."""
    until = time.monotonic() + within / 1000
    while not look():
        assert time.monotonic() < until, "it did not come"
        page.evaluate("1")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; it ends with the tests, also when they are killed (its pipe closes)."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """A profile with an empty storage; pages of one profile share it, as tabs do."""
    context = chromium.new_context()
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def page(profile: BrowserContext) -> Page:
    """One tab of the profile."""
    return profile.new_page()
