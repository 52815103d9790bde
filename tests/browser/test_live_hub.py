"""The demo page in Chromium on the real hub: pushed to, cut off, and caught up."""

import pytest
from playwright.sync_api import Page

from .scenario import Hub, receive_lose_and_catch_up

pytestmark = pytest.mark.server


def test_the_demo_page_gets_what_it_missed_from_the_real_hub(page: Page, live_hub: Hub) -> None:
    receive_lose_and_catch_up(page, live_hub)
