"""The fake hub of the browser tests; Chromium's fixtures come from tests/browser/chromium.py."""

from collections.abc import Iterator

import pytest

from .fake_hub import FakeHub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A fake hub, started."""
    fake = FakeHub()
    fake.start()
    yield fake
    fake.stop()
