"""The composer's preview as it is drawn: cut where each platform cuts, true proportions, long words, right to left."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.admin_hub import SUBSCRIBERS, AdminHub
from tests.browser.album import Album
from tests.browser.test_first_campaign import drawn, sign_in, write

pytestmark = pytest.mark.server

WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
CUT = {"android": (1, 1), "ios": (1, 4), "web": (1, 4), "tv": (1, 2)}
"""Lines of title and body that each platform shows."""
LINES = """
panel => Object.fromEntries(["title", "body"].map(name => {
  const text = panel.querySelector(`[data-${name}]`);
  const style = getComputedStyle(text);
  const high = parseFloat(style.lineHeight) || 1.35 * parseFloat(style.fontSize);
  return [name, {
    lines: Math.round(text.clientHeight / high),
    more: text.scrollHeight > text.clientHeight + 2,
    wide: text.scrollWidth - text.clientWidth,
    direction: style.direction,
  }];
}))
"""
INSIDE = """
panel => {
  const room = panel.querySelector(".nh-phone, .nh-desk, .nh-room").getBoundingClientRect();
  const card = panel.querySelector(".nh-card").getBoundingClientRect();
  return {
    inside: card.left >= room.left && card.right <= room.right && card.bottom <= room.bottom + 1,
    shape: room.width / room.height, wide: room.width, share: card.width / room.width,
  };
}
"""


def look(page: Page, platform: str) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Return how a platform's texts and its card are drawn."""
    page.locator(f"#nh-see-{platform}").click()
    panel = page.locator(f"#nh-screen-{platform}")
    expect(panel).to_be_visible()
    return panel.evaluate(LINES), panel.evaluate(INSIDE)


def test_each_platform_is_drawn_as_it_shows_and_cuts_it(album: Album, admin_hub: AdminHub) -> None:
    page = album.page
    admin_hub.python(SUBSCRIBERS)
    sign_in(page, admin_hub, "eva")
    page.goto(f"{admin_hub.base_url}/admin/campaigns/campaign/add/")
    expect(page.locator("[data-composer][data-drawn]")).to_be_visible()
    page.get_by_label("As read by").fill("p0")
    drawn(page)

    # words that no line holds
    write(page, "title", WORD * 2)
    write(page, "body", " ".join([WORD * 3] * 5))
    for platform, (title, body) in CUT.items():
        texts, card = look(page, platform)
        assert (texts["title"]["lines"], texts["body"]["lines"]) == (title, body), platform
        assert texts["title"]["more"] and texts["body"]["more"], f"{platform} cuts neither"
        assert max(texts["title"]["wide"], texts["body"]["wide"]) <= 1, f"{platform} is broken open"
        assert card["inside"], platform
        album.take(f"preview-long-words-{platform}", axe=".nh-composer")
    assert look(page, "tv")[1]["shape"] == pytest.approx(16 / 9, rel=0.02)
    assert look(page, "tv")[1]["share"] < 0.7, "a card covers a corner of the TV's screen"
    assert look(page, "android")[1]["wide"] <= 360 and look(page, "ios")[1]["wide"] <= 390
    page.locator("#nh-see-android").click()
    page.get_by_role("button", name="Show it unfolded").click()
    unfolded, _card = look(page, "android")
    assert (unfolded["title"]["lines"], unfolded["body"]["lines"] > 4) == (2, True)

    # right to left, with numbers and emoji of several characters within
    write(page, "title", "خصم ٢٠٪ 👩‍👩‍👧‍👦🇩🇪 اليوم")
    write(page, "body", "Only today 🍂")
    for platform in CUT:
        texts, _card = look(page, platform)
        assert (texts["title"]["direction"], texts["body"]["direction"]) == ("rtl", "ltr"), platform
        expect(page.locator(f"#nh-screen-{platform} [data-title]")).to_have_text("خصم ٢٠٪ 👩‍👩‍👧‍👦🇩🇪 اليوم")
    for field, direction in (("title", "rtl"), ("body", "ltr")):
        expect(page.locator(f"[name='{field}']")).to_have_css("direction", direction)
    album.take("preview-right-to-left", axe=".nh-composer")
    assert not album.wrong, "\n".join(album.wrong)
