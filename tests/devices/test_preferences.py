"""The preference centre: reached by a signed link only, used without JavaScript, and safe from scanners of links."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from devices import keys, preference_links, preference_pages, tokens
from devices.models import Application, Category, Preference, Subscriber
from tests.api_world import Caller


@pytest.fixture
def ada(db: None) -> Subscriber:
    preference_pages.forget_visits()
    application = Application.objects.create(name="Shop", slug="shop", quiet_hours="22:00-07:00")
    for key, opt_in in (("news", False), ("offers", True), ("orders", False)):
        Category.objects.create(application=application, key=key, name=f"{key.title()} & more", opt_in=opt_in)
    return Subscriber.objects.create(application=application, external_id="ada")


@pytest.fixture
def visitor() -> Client:
    return Client(enforce_csrf_checks=True)


def address(subscriber: Subscriber, name: str = "preferences", **options: Any) -> str:
    return reverse(name, args=[preference_links.make(subscriber, **options)[0]])


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_the_page_shows_what_is_chosen_and_saves_what_is_changed(ada: Subscriber, visitor: Client) -> None:
    page = visitor.get(address(ada))
    assert (
        page.status_code == 200 and "News &amp; more" in text(page) and "As usual: 22:00-07:00" in text(page)
    )
    checked = re.findall(r'value="(\w+)" checked', text(page))
    assert checked == ["news", "orders"]
    form = {
        "consent": "on",
        "category": ["offers", "orders"],
        "quiet": "own",
        "from": "21:00",
        "until": "09:30",
        "time_zone": "Asia/Tokyo",
        "locale": "ja",
    }
    answer = visitor.post(address(ada), form)
    assert answer.status_code == 302
    ada.refresh_from_db()
    assert (ada.quiet_hours, ada.time_zone, ada.locale, ada.consent) == (
        "21:00-09:30",
        "Asia/Tokyo",
        "ja",
        True,
    )
    chosen = dict(Preference.objects.values_list("category__key", "allowed"))
    assert chosen == {"news": False, "offers": True}
    page = visitor.get(answer["Location"])
    assert 'lang="ja"' in text(page) and 'role="status"' in text(page) and 'value="21:00"' in text(page)


def test_consent_is_taken_back_and_given_with_its_time(ada: Subscriber, visitor: Client) -> None:
    visitor.post(address(ada), {"quiet": ""})
    ada.refresh_from_db()
    assert not ada.consent and ada.consent_at is not None


def test_a_wrong_value_is_told_beside_its_field_and_nothing_is_saved(
    ada: Subscriber, visitor: Client
) -> None:
    for wrong, field in (
        ({"quiet": "own", "from": "22:00", "until": "22:00"}, "quiet"),
        ({"quiet": "own", "from": "x", "until": ""}, "quiet"),
        ({"quiet": "later"}, "quiet"),
        ({"time_zone": "Mars/Base", "quiet": ""}, "time_zone"),
        ({"locale": "!!", "quiet": ""}, "locale"),
    ):
        page = visitor.post(address(ada), wrong)
        assert page.status_code == 400
        assert f'aria-describedby="{field}-error"' in text(page) and f'href="#{field}"' in text(page)
    ada.refresh_from_db()
    assert (ada.consent, ada.quiet_hours) == (True, "")


def test_one_click_opts_out_and_opening_the_link_does_not(ada: Subscriber, visitor: Client) -> None:
    link = address(ada, "preferences-opt-out", category="news")
    for _ in range(3):
        page = visitor.get(link)
        assert page.status_code == 200 and "News &amp; more" in text(page)
    assert visitor.head(link).status_code == 200
    assert not Preference.objects.exists()
    # RFC 8058 section 3.2: a POST with this body and nothing else
    answer = visitor.post(
        link, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 200 and "no more notifications about" in text(answer)
    assert dict(Preference.objects.values_list("category__key", "allowed")) == {"news": False}
    ada.refresh_from_db()
    assert ada.consent
    visitor.post(address(ada, "preferences-opt-out"), {"List-Unsubscribe": "One-Click"})
    ada.refresh_from_db()
    assert not ada.consent


def test_a_link_ends_is_revoked_and_opens_nothing_else(ada: Subscriber, visitor: Client) -> None:
    token, _ = preference_links.make(ada, days=1, now=timezone.now() - timedelta(days=2))
    page = visitor.get(reverse("preferences", args=[token]))
    assert page.status_code == 410 and "expired" in text(page)
    before = address(ada)
    ada.revoked_before = timezone.now()
    ada.save()
    assert visitor.get(before).status_code == 410
    assert visitor.post(before.replace("preferences/", "preferences/"), {"quiet": ""}).status_code == 410
    assert visitor.get(address(ada)).status_code == 200
    with pytest.raises(tokens.TokenError):
        tokens.verify(preference_links.make(ada)[0])
    with pytest.raises(ValueError):
        preference_links.make(ada, days=366)
    ada.delete()
    assert visitor.get(address(Subscriber(application=ada.application, external_id="x"))).status_code == 404


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a:b:c",
        signing.dumps(["0" * 32, 0, 2**40, ""]),
        "x" * 5_000,
        signing.dumps("x", salt=preference_links.SALT),
    ],
    ids=["no_signature", "not_ours", "another_salt", "too_long", "another_body"],
)
def test_a_forged_link_opens_nothing(ada: Subscriber, visitor: Client, token: str) -> None:
    for name in ("preferences", "preferences-opt-out"):
        for answer in (visitor.get(reverse(name, args=[token])), visitor.post(reverse(name, args=[token]))):
            assert answer.status_code == 404 and "does not work" in text(answer)


def test_pages_are_private_unindexed_and_need_no_script(ada: Subscriber, visitor: Client) -> None:
    for name in ("preferences", "preferences-opt-out"):
        page = visitor.get(address(ada, name))
        assert "no-store" in page["Cache-Control"] and page["X-Robots-Tag"] == "noindex, nofollow"
        assert (
            page["Referrer-Policy"] == "no-referrer"
            and "default-src 'none'" in page["Content-Security-Policy"]
        )
        assert "<script" not in text(page) and not page.cookies and 'name="robots"' in text(page)
        assert re.search(r"\bada\b", text(page)) is None


def test_who_hammers_a_page_is_told_to_wait(
    ada: Subscriber, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference_pages._visits, "count", 3)
    answers = [visitor.get(address(ada)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3]["Retry-After"] == "60"
    monkeypatch.setattr(preference_pages._guesses, "count", 3)
    guesses = [visitor.get(reverse("preferences", args=["x"])).status_code for _ in range(4)]
    assert guesses == [404, 404, 404, 429]


def test_behind_a_proxy_one_who_guesses_keeps_nobody_else_waiting(
    visitor: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.BEHIND_TLS = True
    monkeypatch.setattr(preference_pages._guesses, "count", 1)
    guess = reverse("preferences", args=["x"])
    seen = [
        visitor.get(guess, headers={"X-Forwarded-For": name, "X-Forwarded-Proto": "https"}).status_code
        for name in ("192.0.2.1", "192.0.2.1", "192.0.2.2")
    ]
    assert seen == [404, 429, 404]


def test_the_page_speaks_the_persons_language(ada: Subscriber, visitor: Client) -> None:
    for locale, words in (
        ("de-AT", "Ruhezeiten"),
        ("ja", "通知"),
        ("ar", "Quiet hours"),
        ("x-none", "Quiet hours"),
    ):
        Subscriber.objects.update(locale=locale)
        assert words in text(visitor.get(address(ada))), locale


def test_the_page_costs_the_same_number_of_queries_with_more_categories(
    ada: Subscriber, visitor: Client
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            visitor.get(address(ada))
        return len(queries)

    before = cost()
    for number in range(20):
        Category.objects.create(application=ada.application, key=f"k{number}", name=f"Name {number}")
    assert cost() == before <= 3


def test_links_are_made_by_the_api(ada: Subscriber, visitor: Client) -> None:
    service = Caller(keys.mint(ada.application, name="all", scopes=["subscribers:write"])[1])
    answer = service("POST", "subscribers/ada/preference-link", {"days": 7, "category": "offers"})
    assert answer.status_code == 201 and answer["Cache-Control"] == "no-store"
    told = answer.json()
    assert visitor.get(told["url"]).status_code == 200
    assert "Offers &amp; more" in text(visitor.get(told["opt_out_url"]))
    assert service("POST", "subscribers/ada/preference-link").status_code == 201
    assert service("POST", "subscribers/nobody/preference-link", {}).status_code == 404
    assert service("POST", "subscribers/ada/preference-link", {"category": "none"}).status_code == 400
    assert service("POST", "subscribers/ada/preference-link", {"days": 366}).status_code == 400
    reader = Caller(keys.mint(ada.application, name="r", scopes=["subscribers:read"])[1])
    assert reader("POST", "subscribers/ada/preference-link", {}).status_code == 403
