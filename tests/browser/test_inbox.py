"""The inbox widget in Chromium: what a person does with it, by mouse and by keyboard, and that everybody can."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, Browser, Locator, Page, Route, expect

from .chromium import wait_until
from .fake_hub import FakeHub

pytestmark = pytest.mark.server

AXE = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
CATEGORIES = [
    {"key": "offers", "name": "Offers", "opt_in": True, "allowed": None},
    {"key": "orders", "name": "My orders", "opt_in": False, "allowed": None},
    {"key": "news", "name": "News", "opt_in": False, "allowed": False},
]


def faults(page: Page) -> list[str]:
    """Return what axe-core finds: rule and element."""
    found = Axe().run(page, options=AXE).response
    assert len(found["passes"]) > 15, "axe-core looked at nothing"
    return [f"{one['id']}: {node['html'][:150]}" for one in found["violations"] for node in one["nodes"]]


def bell(page: Page) -> Locator:
    return page.locator(".nh-bell")


def titles(page: Page) -> Locator:
    return page.locator(".nh-main")


def open_page(page: Page, hub: FakeHub, *, unread: int | str, **more: str) -> None:
    page.goto(hub.widget_url(**more))
    expect(bell(page)).to_have_accessible_name(
        f"Notifications, {unread} unread" if unread else "Notifications, none unread"
    )


def open_inbox(page: Page, hub: FakeHub, *, unread: int | str, **more: str) -> None:
    open_page(page, hub, unread=unread, **more)
    bell(page).click()
    expect(page.get_by_role("dialog", name="Notifications")).to_be_visible()


def fill(hub: FakeHub, *names: str, **fields: Any) -> list[str]:
    return [hub.push(name, **fields) for name in names]


def focused(page: Page) -> str:
    text: str = page.evaluate(
        "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
    )
    return text


def test_a_person_reads_puts_away_and_chooses(page: Page, hub: FakeHub) -> None:
    hub.preferences["categories"] = [dict(one) for one in CATEGORIES]
    first, second = fill(hub, "The first", "The second")
    open_inbox(page, hub, unread=2)
    expect(titles(page)).to_have_text(["The second", "The first"])
    hub.push("The third", body="It just came", image="/static/notifyhub/icon.svg")
    expect(titles(page)).to_have_text(["The third", "The second", "The first"])
    expect(page.get_by_role("status")).to_have_text("New: The third")
    hub.wait_for_frame("receipt", kind="displayed")
    page.get_by_role("button", name="Mark as read: The first").click()
    hub.wait_until(lambda: hub.states.get(first) == "read")
    expect(bell(page)).to_have_accessible_name("Notifications, 2 unread")
    page.get_by_role("button", name="Archive: The second").click()
    hub.wait_until(lambda: hub.states.get(second) == "archived")
    expect(titles(page)).to_have_text(["The third", "The first"])
    page.get_by_role("button", name="Undo").click()
    hub.wait_until(lambda: hub.states.get(second) == "unread")
    expect(titles(page)).to_have_text(["The third", "The second", "The first"])
    page.get_by_role("button", name="Mark all as read").click()
    expect(bell(page)).to_have_accessible_name("Notifications, none unread")
    page.get_by_role("button", name="Preferences").click()
    expect(page.get_by_label("Offers")).not_to_be_checked()
    expect(page.get_by_label("My orders")).to_be_checked()
    expect(page.get_by_label("News")).not_to_be_checked()
    page.get_by_label("Offers").check()
    hub.wait_until(lambda: hub.preferences["categories"][0]["allowed"] is True)
    page.get_by_role("checkbox", name="Notifications").uncheck()
    hub.wait_until(lambda: hub.preferences["consent"] is False)
    expect(page.get_by_label("My orders")).to_be_disabled()
    page.get_by_role("button", name="Back to notifications").click()
    expect(titles(page)).to_have_count(3)


def test_everything_works_by_keyboard_and_focus_is_never_lost(page: Page, hub: FakeHub) -> None:
    fill(hub, "one", "two", "three")
    open_page(page, hub, unread=3)
    bell(page).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "dialog"
    page.keyboard.press("ArrowDown")
    assert focused(page) == "three"
    page.keyboard.press("End")
    assert focused(page) == "one"
    page.keyboard.press("ArrowUp")
    assert focused(page) == "two"
    page.keyboard.press("ArrowRight")
    assert focused(page) == "Mark as read: two"
    page.keyboard.press("Enter")
    assert focused(page) == "two"
    page.keyboard.press("Delete")
    assert focused(page) == "one"
    expect(titles(page)).to_have_text(["three", "one"])
    page.keyboard.press("Delete")
    assert focused(page) == "three"
    page.keyboard.press("Delete")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "dialog"
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Tab")
    assert focused(page) == "Close"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()
    assert focused(page).startswith("Notifications")


def test_escape_leads_from_the_preferences_to_the_list_and_out(page: Page, hub: FakeHub) -> None:
    open_inbox(page, hub, unread=0)
    page.get_by_role("button", name="Preferences").click()
    assert focused(page) == "Back to notifications"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Notifications")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()


def test_tabbing_out_or_clicking_elsewhere_closes_and_leaves_focus_there(page: Page, hub: FakeHub) -> None:
    open_inbox(page, hub, unread=0)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "Home"
    expect(page.get_by_role("dialog")).not_to_be_visible()
    bell(page).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("heading", name="Corner Cinema").click()
    expect(page.get_by_role("dialog")).not_to_be_visible()


def test_where_text_runs_from_right_to_left_so_do_the_arrows_and_the_panel(page: Page, hub: FakeHub) -> None:
    fill(hub, "واحد", "اثنان")
    open_inbox(page, hub, unread=2, dir="rtl", lang="ar")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert focused(page) == "Mark as read: اثنان"
    page.keyboard.press("ArrowRight")
    assert focused(page) == "اثنان"
    box, words = page.locator(".nh-panel").bounding_box(), titles(page).first.bounding_box()
    assert box and words and words["x"] + words["width"] > box["x"] + box["width"] / 2
    assert faults(page) == []


def test_more_than_99_are_99_plus_and_older_ones_are_a_page_away(page: Page, hub: FakeHub) -> None:
    hub.log += [
        {"id": f"id-{n}", "run": "r", "title": f"t{n}", "sent_at": "2026-11-24T09:30:00Z"} for n in range(120)
    ]
    open_inbox(page, hub, unread="99+")
    expect(titles(page)).to_have_count(20)
    page.get_by_role("button", name="Show older").click()
    expect(titles(page)).to_have_count(40)
    assert focused(page) == "t99"
    page.get_by_role("button", name="Archive: t119").click()
    hub.wait_until(lambda: hub.states.get("id-119") == "archived")
    expect(titles(page)).to_have_count(39)
    expect(bell(page)).to_have_accessible_name("Notifications, 99+ unread")


def test_what_is_marked_or_recalled_elsewhere_changes_here_at_once(page: Page, hub: FakeHub) -> None:
    read, put_away = fill(hub, "read on the phone", "archived on the phone")
    hub.push("recalled", run="run-2")
    open_inbox(page, hub, unread=3)
    hub.say({"type": "marked", "ids": [read], "state": "read"})
    expect(bell(page)).to_have_accessible_name("Notifications, 2 unread")
    hub.say({"type": "marked", "ids": [put_away], "state": "archived"})
    hub.say({"type": "recall", "run": "run-2"})
    expect(titles(page)).to_have_text(["read on the phone"])
    expect(bell(page)).to_have_accessible_name("Notifications, none unread")


def test_what_is_marked_elsewhere_further_back_than_the_list_is_counted(page: Page, hub: FakeHub) -> None:
    first = fill(hub, *(f"number {number}" for number in range(30)))[0]
    open_inbox(page, hub, unread=30)
    hub.states[first] = "read"
    hub.say({"type": "marked", "ids": [first], "state": "read"})
    expect(bell(page)).to_have_accessible_name("Notifications, 29 unread")


def test_what_comes_or_is_marked_while_the_inbox_is_asked_stays(page: Page, hub: FakeHub) -> None:
    early = fill(hub, "early")[0]
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/inbox/latest*", lambda route: held.append((route, route.fetch())))

    def answer() -> None:
        wait_until(page, lambda: held)
        route, response = held.pop(0)
        route.fulfill(response=response)

    page.goto(hub.widget_url())
    hub.wait_for_connection(1)
    hub.push("late")
    expect(bell(page)).to_have_accessible_name("Notifications, 1 unread")
    bell(page).click()
    answer()
    answer()
    expect(titles(page)).to_have_text(["late", "early"])
    expect(bell(page)).to_have_accessible_name("Notifications, 2 unread")
    hub.push("later")
    hub.cut()
    wait_until(page, lambda: held)
    hub.push("last")
    expect(titles(page).first).to_have_text("last")
    hub.states[early] = "read"
    hub.say({"type": "marked", "ids": [early], "state": "read"})
    expect(bell(page)).to_have_accessible_name("Notifications, 3 unread")
    answer()
    answer()
    expect(titles(page)).to_have_text(["last", "later", "late", "early"])
    expect(bell(page)).to_have_accessible_name("Notifications, 3 unread")


def test_what_was_missed_stands_in_its_place_after_a_cut(page: Page, hub: FakeHub) -> None:
    fill(hub, "before")
    open_inbox(page, hub, unread=1)
    page.context.set_offline(True)
    hub.cut()
    fill(hub, "missed 1", "missed 2")
    page.context.set_offline(False)
    expect(titles(page)).to_have_text(["missed 2", "missed 1", "before"])
    expect(bell(page)).to_have_accessible_name("Notifications, 3 unread")


def test_a_link_is_followed_and_told_and_other_addresses_are_none(page: Page, hub: FakeHub) -> None:
    fill(hub, "bad", link="javascript:alert(1)", image="javascript:alert(1)")
    (good,) = fill(hub, "good", link="/widget/?seen=1")
    open_inbox(page, hub, unread=2)
    expect(page.get_by_role("link", name="bad")).to_have_count(0)
    page.get_by_role("button", name="bad", exact=True).press("Enter")
    expect(bell(page)).to_have_accessible_name("Notifications, 1 unread")
    page.get_by_role("link", name="good").click()
    hub.wait_for_frame("receipt", ids=[good], kind="opened")
    page.wait_for_url("**/widget/?seen=1")


def test_markup_in_a_title_is_text(page: Page, hub: FakeHub) -> None:
    fill(hub, "<img src=x onerror=alert(1)>", body="<b>bold</b>")
    open_inbox(page, hub, unread=1)
    expect(titles(page)).to_have_text(["<img src=x onerror=alert(1)>"])
    expect(page.locator(".nh-list img, .nh-list b")).to_have_count(0)


def test_a_hub_that_is_away_is_said_and_nothing_pretended(page: Page, hub: FakeHub) -> None:
    fill(hub, "one")
    open_inbox(page, hub, unread=1)
    hub.broken = True
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.get_by_role("status")).to_have_text("That did not work. Try again.")
    expect(bell(page)).to_have_accessible_name("Notifications, 1 unread")


def test_its_texts_can_be_said_in_another_language(page: Page, hub: FakeHub) -> None:
    page.goto(hub.widget_url(lang="de", texts='{"heading": "Mitteilungen", "noneUnread": "keine neuen"}'))
    expect(bell(page)).to_have_accessible_name("Mitteilungen, keine neuen")
    assert faults(page) == []


def test_an_engine_without_custom_elements_attaches_it_to_any_element(page: Page, hub: FakeHub) -> None:
    page.add_init_script(
        "delete window.customElements; Object.defineProperty(window, 'Reflect', {value: undefined});"
    )
    fill(hub, "one")
    page.goto(hub.widget_url())
    page.evaluate("NotifyHubInbox.attach(document.querySelector('notifyhub-inbox'), hub)")
    bell(page).click()
    expect(titles(page)).to_have_text(["one"])


def test_an_element_that_leaves_the_page_listens_no_more(page: Page, hub: FakeHub) -> None:
    open_inbox(page, hub, unread=0)
    page.evaluate("""() => {
      const element = document.querySelector("notifyhub-inbox"), parent = element.parentNode;
      parent.removeChild(element);
      parent.appendChild(element);
    }""")
    expect(bell(page)).to_have_count(1)
    hub.push("once")
    bell(page).click()
    expect(titles(page)).to_have_text(["once"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["bell", "list", "empty", "preferences"])
def test_axe_core_finds_nothing(chromium: Browser, hub: FakeHub, scheme: str, view: str) -> None:
    context = chromium.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(10_000)
    page = context.new_page()
    hub.preferences["categories"] = [dict(one) for one in CATEGORIES]
    # What moves is looked at when it stands.
    page.emulate_media(reduced_motion="reduce")
    if view != "empty":
        fill(hub, "Doors open at eight", "Read", body="Row F is yours.", link="/widget/")
        fill(hub, "No link", image="/static/notifyhub/icon.svg")
        hub.states[hub.log[1]["id"]] = "read"
    open_page(page, hub, unread=0 if view == "empty" else 2)
    if view != "bell":
        bell(page).click()
    if view == "list":
        page.get_by_role("button", name="Archive: No link").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
    if view == "preferences":
        page.get_by_role("button", name="Preferences").click()
        expect(page.get_by_label("My orders")).to_be_visible()
    assert faults(page) == []
    context.close()


def test_a_fault_would_be_found(page: Page, hub: FakeHub) -> None:
    fill(hub, "one")
    open_inbox(page, hub, unread=1)
    page.evaluate("""() => {
      document.querySelector(".nh-archive").removeAttribute("aria-label");
      document.querySelector(".nh-archive").removeAttribute("title");
      document.querySelector(".nh-foot").style.color = "#aaa";
    }""")
    assert {fault.partition(":")[0] for fault in faults(page)} == {"button-name", "color-contrast"}


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_those_who_want_no_motion(page: Page, hub: FakeHub, motion: str) -> None:
    page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
    open_inbox(page, hub, unread=0)
    animation = page.evaluate("getComputedStyle(document.querySelector('.nh-panel')).animationName")
    assert animation == ("none" if motion == "reduce" else "nh-appear")


@pytest.mark.parametrize("width", [320, 1366])
def test_the_panel_fits_the_screen(page: Page, hub: FakeHub, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 600})
    fill(hub, "Averyveryveryveryveryveryveryveryverylongwordthatnobodyhyphenated" * 2, body="x" * 200)
    open_inbox(page, hub, unread=1)
    box = page.locator(".nh-panel").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
    small = """() => Array.from(document.querySelectorAll(".nh-inbox button, .nh-inbox a")).filter((one) => {
      const box = one.getBoundingClientRect();
      return box.width && Math.min(box.width, box.height) < 23.9; // a panel that still moves is measured in fractions
    }).map((one) => one.className)"""
    assert page.evaluate(small) == []  # WCAG 2.2, 2.5.8


def test_the_theme_can_be_said(page: Page, hub: FakeHub) -> None:
    open_inbox(page, hub, unread=0, theme="dark")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.nh-panel')).backgroundColor")
        == "rgb(27, 31, 36)"
    )
    assert faults(page) == []
