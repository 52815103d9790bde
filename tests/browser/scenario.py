"""What a demo page must live through, on the fake hub and on the real one alike."""

from typing import Protocol

from playwright.sync_api import Page, expect


class Hub(Protocol):
    """A hub with a demo subscriber."""

    @property
    def page_url(self) -> str:
        """The address of the demo subscriber's page."""

    def push(self, title: str) -> object:
        """Send the demo subscriber a notification, through everything a real one passes."""

    def cut(self) -> None:
        """Break the page's connection without a close frame."""


def receive_lose_and_catch_up(page: Page, hub: Hub) -> None:
    """Open the page, receive a push, be cut off, get what was missed on return: each once, newest first."""
    violations: list[str] = []
    page.on(
        "console",
        lambda message: violations.append(message.text) if "Content Security" in message.text else None,
    )
    page.on("pageerror", lambda error: violations.append(error.message))
    page.goto(hub.page_url)
    state = page.get_by_role("status").filter(has_text="Connected")
    titles = page.locator("#notices h3")
    expect(state).to_be_visible()

    hub.push("The first")
    expect(titles).to_have_text(["The first"])
    expect(page.locator("#toast")).to_contain_text("The first")

    page.context.set_offline(True)  # no return before the second is sent
    hub.cut()
    expect(state).not_to_be_visible()
    hub.push("The second, missed")
    page.context.set_offline(False)
    expect(state).to_be_visible()
    expect(titles).to_have_text(["The second, missed", "The first"])

    page.reload()
    expect(state).to_be_visible()
    hub.push("The third")
    expect(titles).to_have_text(["The third", "The second, missed", "The first"])
    assert violations == []
