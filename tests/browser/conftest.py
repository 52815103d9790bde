"""What browser tests share: the fake hub, and a marketer's browser. Chromium's fixtures come from `chromium.py`."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from .album import LAPTOP, Album
from .chromium import WAIT_MS
from .fake_hub import FakeHub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A fake hub, started."""
    fake = FakeHub()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def album(chromium: Browser) -> Iterator[Album]:
    """A marketer's browser; at the end nothing may have gone wrong in it."""
    context = chromium.new_context(viewport=LAPTOP, locale="en-GB", timezone_id="Europe/Berlin")  # type: ignore[arg-type]
    context.set_default_timeout(3 * WAIT_MS)
    found = Album(context.new_page())
    yield found
    context.close()
    assert found.wrong == []
