"""Reads every page of the admin in Japanese: a Latin word that is no name would be a text nobody marked."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from devices.models import Application
from tests.admin_world import build
from tests.test_empty_lists import OURS, address_of
from tests.test_isolation_admin import addresses_of, lists_of

pytestmark = pytest.mark.django_db(databases=["default", "log"])

SPOKEN = ("aria-label", "placeholder", "title", "alt", "data-label")
EMPTY = {"br", "circle", "hr", "img", "input", "line", "link", "meta", "path", "polyline", "rect"}
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]{3,}")
NAMES = re.compile(
    r"""(?ix)
    .*zebra.* | (user:)?admin(@example\.com)? | English | Deutsch | notifyhub | Hello   # data, and names of languages
    | [0-9a-f]{8}-[0-9a-f-]{27} | .*[0-9a-f]{8} | [a-z_0-9.]+ | \{.*\} | https?:.*   # ids, codes and JSON
    | WebSocket | UID | UTC | Android(\ \(FCM\))? | iOS(\ \(APNs\))? | FCM | APNs | Web(\ Push)? | Webhook | Crontab
    | .*\(Android\) | OFFER | your-site\.example | 0\ 9\ \*\ \*\ mon-fri | HS256.* | EdDSA.*
    | Base\ revision
    """
)


class Texts(HTMLParser):
    """The texts of a page that a person sees or hears."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in EMPTY:
            self._open.append(tag)
        self.found += [value for name, value in attrs if name in SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "code", "template"} & set(self._open) and data.strip():
            self.found.append(" ".join(data.split()))


def untranslated(page: str) -> list[str]:
    parser = Texts()
    parser.feed(page)
    return [
        text
        for text in parser.found
        if ENGLISH.search(text) and not JAPANESE.search(text) and not NAMES.fullmatch(text)
    ]


def test_no_page_of_the_admin_shows_a_text_that_is_not_translated(admin_client: Client) -> None:
    world = build("Zebra")
    admin_client.cookies["django_language"] = "ja"
    addresses = [
        reverse(f"admin:{name}")
        for name in (
            "index",
            "campaigns_calendar",
            "campaigns_why",
            "delivery_run_compare",
            "devices_second_factor",
        )
    ]
    for row in world.rows:
        addresses += [*addresses_of(row), *lists_of(row)]
    found: dict[str, str] = {}
    walked = 0
    for address in addresses:
        answer = admin_client.get(address, follow=True)
        if answer.status_code == 200 and "html" in answer.headers["Content-Type"]:
            walked += 1
            for text in untranslated(answer.content.decode()):
                found.setdefault(text, address)
    assert walked > 90
    assert found == {}


def test_the_first_page_of_a_hub_without_anything_is_translated(admin_client: Client, client: Client) -> None:
    client.force_login(User.objects.create_user("zebra", is_staff=True))
    for browser in (admin_client, client):
        browser.cookies["django_language"] = "ja"
        assert untranslated(browser.get(reverse("admin:index")).content.decode()) == []


def test_the_page_that_refuses_is_translated(client: Client) -> None:
    client.force_login(User.objects.create_user("zebra", is_staff=True))
    client.cookies["django_language"] = "ja"
    refused = client.get(reverse("admin:campaigns_campaign_changelist"))
    assert refused.status_code == 403
    assert untranslated(refused.content.decode()) == []


def test_no_empty_list_shows_a_text_that_is_not_translated(admin_client: Client) -> None:
    admin_client.cookies["django_language"] = "ja"
    found: dict[str, str] = {}
    for model in sorted(OURS, key=lambda model: model is not Application):
        page = admin_client.get(address_of(model)).content.decode()
        assert "data-empty" in page, model
        found.update(dict.fromkeys(untranslated(page), address_of(model)))
        Application.objects.get_or_create(name="Zebra app", slug="zebra")
    assert found == {}


def test_an_english_text_is_noticed() -> None:
    assert untranslated('<p>Oh dear</p><img alt="A picture"><p>日本</p>') == ["Oh dear", "A picture"]
