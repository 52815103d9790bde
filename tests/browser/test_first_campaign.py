"""The first campaign, told as a marketer and an approver live it: from an empty hub to its report, by keyboard too.

This hub wants a second factor for approving and launching, as every hub on PostgreSQL does unless it is told otherwise.
"""

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.admin_hub import PASSWORD, PEOPLE, PUBLIC_URL, SUBSCRIBERS, AdminHub, WithAdmin
from tests.browser.album import Album
from tests.browser.authenticator import Authenticator

pytestmark = pytest.mark.server
expect.set_options(timeout=20_000)  # the machine may be busy
SETTINGS = {"NOTIFYHUB_SECOND_FACTOR": "required"}


BEGUN = "from delivery.models import Run; print(Run.objects.filter(origin__startswith='campaign:').count())"


def sign_in(page: Page, hub: WithAdmin, name: str) -> None:
    """Sign in by keyboard alone."""
    page.goto(f"{hub.base_url}/admin/login/")
    page.get_by_label("Username").focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/")


def sign_out(page: Page) -> None:
    page.context.clear_cookies()


def drawn(page: Page) -> None:
    """Wait until the preview shows what was written last."""
    composer = page.locator("[data-composer]")
    before = composer.get_attribute("data-drawn") or "0"
    expect(composer).not_to_have_attribute("data-drawn", before)


def write(page: Page, field: str, text: str) -> None:
    """Write into a field, as by hand, and wait for the preview."""
    written = page.locator(f"[name='{field}']")
    written.focus()
    expect(written).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)
    drawn(page)


def press(page: Page, button: str) -> None:
    """Press a button by keyboard."""
    page.get_by_role("button", name=button).focus()
    page.keyboard.press("Enter")


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Go on with Tab until an element has the focus: it is reached without a mouse."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached with {most} presses of Tab")


def add_row(page: Page, *cells: str) -> None:
    """Press the button that has the focus, and fill the row that it adds, by keyboard alone."""
    page.keyboard.press("Enter")
    for number, cell in enumerate(cells):
        if number:
            page.keyboard.press("Tab")
        page.keyboard.insert_text(cell)
    drawn(page)


def test_a_marketers_first_campaign(album: Album, admin_hub: AdminHub) -> None:
    page = album.page
    sign_in(page, admin_hub, "eva")
    page.get_by_role("link", name="New campaign").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    expect(page.get_by_text("Write a title or a body: it shows here")).to_be_visible()
    page.get_by_text("Insert something about the person").click()
    expect(page.get_by_text("No subscriber has attributes yet")).to_be_visible()
    album.take("composer-empty", axe=".nh-composer")

    # people come; what they have can be picked
    admin_hub.python(SUBSCRIBERS)
    page.reload()
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    write(page, "name", "Autumn sale")
    write(page, "title", "Hi {{ first_nam }} 🍂 20% off")
    expect(page.locator(".nh-live")).to_have_text(["`first_nam`: did you mean `first_name`?"])
    write(page, "link", "javascript:alert(1)")
    expect(page.locator(".nh-live").nth(1)).to_contain_text("must not begin with javascript:")
    write(page, "body", "Until Sunday.\n{% if %}")
    expect(page.locator(".nh-live").nth(1)).to_contain_text("Line 2: ")
    album.take("composer-wrong", axe=".nh-composer")

    write(page, "title", "Hi {{ first_name }} 🍂 20% off")
    write(page, "link", "https://shop.example/sale")
    write(page, "body", "Everything in the shop, until Sunday: ")
    page.get_by_text("Insert something about the person").click()
    page.locator("[data-insert='plan']").focus()
    page.keyboard.press("Enter")
    assert page.locator("[name='body']").input_value().endswith('{{ plan | default: "" }}')
    page.keyboard.type("you")  # between the quotation marks
    drawn(page)

    # by keyboard alone: a platform's own words, a language, a button
    tab_to(page, "#nh-tab-android")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    tab_to(page, "[name='tv__title']")
    page.keyboard.insert_text("On your TV: 20% off")
    drawn(page)
    tab_to(page, ".nh-locales [data-add]")
    add_row(page, "ar", "مرحبا {{ first_name }}، خصم ٢٠٪")
    expect(page.locator("[data-missing]")).to_contain_text("ar (body)")
    expect(page.locator("[data-missing]")).to_contain_text("de")
    page.get_by_role("button", name="+ Add a button").focus()
    add_row(page, "Shop now", "https://shop.example/")
    page.get_by_label("Or upload a picture").set_input_files(
        {"name": "leaf.png", "mimeType": "image/png", "buffer": picture()}
    )

    # every platform, for somebody who was chosen
    page.get_by_label("As read by").fill("p2")
    drawn(page)
    expect(page.locator("[data-whom]")).to_have_text("As p2 reads it, in ar.")
    expect(page.locator("#nh-screen-android [data-title]")).to_have_text("مرحبا محمد، خصم ٢٠٪")
    page.get_by_label("As read by").fill("p4")
    drawn(page)
    for platform in ("android", "ios", "web", "tv"):
        page.locator(f"#nh-see-{platform}").click()
        album.take(f"composer-{platform}", axe=".nh-composer")
    expect(page.locator("#nh-screen-tv [data-title]")).to_have_text("On your TV: 20% off")
    expect(page.locator("#nh-screen-tv [data-weights]")).to_contain_text("bytes")

    page.get_by_role("button", name="Save and continue editing").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert (page.locator("[name='image']").input_value()).startswith(f"{PUBLIC_URL}/media/pictures/")
    drawn_image = page.locator("#nh-screen-android [data-image]")
    expect(drawn_image).to_have_js_property("complete", True)
    page.wait_for_function("document.querySelector('#nh-screen-android [data-image]').naturalWidth > 0")
    album.take("composer-saved", axe=".nh-composer")

    # the page before the launch: a test, and the question to somebody else
    page.get_by_role("link", name="Check and launch").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Before the launch of “Autumn sale”")).to_be_visible()
    expect(page.get_by_role("heading", name=f"{PEOPLE} people")).to_be_visible()
    expect(page.get_by_text("Subscribers who read de get en.")).to_be_visible()
    album.take("preflight-of-an-editor", axe=".nh-composer")
    page.get_by_label("Eva's browser").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Send a test").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("A test is on its way to Eva's browser.")).to_be_visible()
    page.locator("form[action*='submit'] button").click()
    expect(page.get_by_text("It waits for approval.")).to_be_visible()

    # the approver
    sign_out(page)
    sign_in(page, admin_hub, "anton")
    page.get_by_role("link", name="1 waiting for approval").click()
    page.get_by_role("link", name="Autumn sale").click()
    page.get_by_role("link", name="Check and launch").click()
    expect(page.get_by_text("One approval is missing.")).to_be_visible()
    expect(
        page.get_by_text("Approving and launching need a second factor, and you have none.")
    ).to_be_visible()
    press(page, "Approve these numbers and this text")
    expect(page.get_by_text("Nothing was done yet: set up a second factor first.")).to_be_visible()
    expect(page.get_by_role("img", name="QR code of your secret")).to_be_visible()
    album.take("second-factor", axe=".nh-composer")
    phone = Authenticator(page.locator("code").inner_text())
    page.get_by_label("Code").fill(phone.code())
    press(page, "Set it up")
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have them, go on").click()
    expect(page.get_by_text("One approval is missing.")).to_be_visible()
    press(page, "Approve these numbers and this text")
    expect(page.get_by_text("it can be launched")).to_be_visible()
    page.get_by_role("link", name="Check and launch").click()
    album.take("preflight-of-an-approver", axe=".nh-composer")

    # another day: the password alone launches nothing
    sign_out(page)
    sign_in(page, admin_hub, "anton")
    page.goto(f"{admin_hub.base_url}/admin/campaigns/campaign/?q=Autumn+sale")
    page.get_by_role("link", name="Autumn sale").click()
    page.get_by_role("link", name="Check and launch").click()
    expect(page.get_by_text("Approving and launching ask for your second factor.")).to_be_visible()
    launch = f"Launch to {PEOPLE} people now"
    press(page, launch)
    expect(page.get_by_text("Nothing was done yet: show your second factor first.")).to_be_visible()
    assert admin_hub.python(BEGUN) == "0"
    page.get_by_label("Code").fill(phone.code())
    press(page, "Go on")
    expect(page.get_by_text("That is you.")).to_be_visible()
    press(page, launch)
    expect(page.get_by_text(f"Launched: it is on its way to {PEOPLE} people.")).to_be_visible()
    admin_hub.wait_for("Run.objects.filter(origin__startswith='campaign:', state='done').exists()")
    page.reload()
    page.locator("a[href*='/admin/delivery/run/']").last.click()
    expect(page.get_by_text(re.compile(rf"{PEOPLE}\s+in the audience"))).to_be_visible()
    album.take("run")
    page.locator("#run-button-report").click()
    expect(page.get_by_role("heading", name="How far it got")).to_be_visible()
    expect(page.get_by_role("row", name="Told").first).to_contain_text(str(PEOPLE))


def test_a_recurring_campaign_stands_in_the_calendar(album: Album, admin_hub: AdminHub) -> None:
    page = album.page
    sign_in(page, admin_hub, "eva")
    page.goto(f"{admin_hub.base_url}/admin/campaigns/campaign/calendar/?month=2031-03")
    expect(page.get_by_text("Nothing is planned here.")).to_be_visible()
    album.take("calendar-empty", axe=".nh-composer")
    page.get_by_role("link", name="New campaign").click()
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    write(page, "name", "Good morning")
    write(page, "title", "Good morning")
    page.locator("[name='repeat-kind']").select_option("weekdays")
    drawn(page)
    page.locator("[name='repeat-zone']").fill("Mars/Olympus")
    drawn(page)
    expect(page.get_by_text("There is no time zone “Mars/Olympus”")).to_be_visible()
    page.locator("[name='repeat-zone']").fill("America/New_York")
    drawn(page)
    when = page.locator("[data-when-said]")
    expect(when).to_contain_text("Every weekday (Monday to Friday) at 09:00 in America/New_York.")
    expect(when).to_contain_text("(Europe/Berlin)")
    expect(when).to_contain_text("the clocks in America/New_York go")
    when.scroll_into_view_if_needed()
    album.take("composer-recurring", axe=".nh-composer")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto(f"{admin_hub.base_url}/admin/campaigns/campaign/calendar/?month=2031-03")
    expect(page.get_by_role("link", name=re.compile("Good morning")).first).to_contain_text("15:00")
    album.take("calendar", axe=".nh-composer")


def picture() -> bytes:
    made = io.BytesIO()
    Image.linear_gradient("L").resize((1_200, 600)).convert("RGB").save(made, "PNG")
    return made.getvalue()
