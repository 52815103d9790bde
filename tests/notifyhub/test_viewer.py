import re
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from delivery.models import Run
from devices import words
from devices.models import Membership, StaffSettings
from tests.admin_world import World, build
from tests.api_world import make_world

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def world() -> World:
    return build("Zebra")


@pytest.fixture
def anna(world: World) -> Client:
    client = Client()
    client.force_login(world.of(Membership).user)
    return client


def said(client: Client, **headers: str) -> str:
    return client.get(reverse("admin:index"), headers=headers or None).content.decode()


def test_the_admin_is_in_the_language_that_the_browser_asks_for(anna: Client) -> None:
    assert "Latest runs" in said(anna)
    assert "Letzte Läufe" in said(anna, accept_language="de-AT,de;q=0.9,en;q=0.5")
    assert "最近の配信" in said(anna, accept_language="ja")
    assert "Latest runs" in said(anna, accept_language="fr")


def test_a_page_that_is_not_there_says_so_and_leads_back(anna: Client) -> None:
    address = reverse("admin:campaigns_campaign_change", args=[999_999])
    for missing in (address, "/admin/nowhere/"):
        answer = anna.get(missing, headers={"accept_language": "de"})
        assert answer.status_code == 404
        page = answer.content.decode()
        assert 'lang="de"' in page and "notifyhub" in page
        assert f'href="{reverse("admin:index")}"' in page
        assert "--color-base-900" in page, "a dark page needs the colours"
    elsewhere = anna.get("/nowhere")
    assert elsewhere.status_code == 404 and reverse("admin:index") not in elsewhere.content.decode()


def test_a_page_that_is_refused_has_the_admins_colours(anna: Client, world: World) -> None:
    Membership.objects.update(role="viewer")
    refused = anna.get(reverse("admin:campaigns_campaign_add"))
    assert refused.status_code == 403
    page = refused.content.decode()
    assert "Your role does not allow this." in page and "--color-base-900" in page


def test_a_language_that_was_chosen_is_kept_for_the_person(anna: Client, world: World) -> None:
    answer = anna.post(reverse("choose-language"), {"language": "ja", "next": "/admin/campaigns/campaign/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/campaigns/campaign/")
    assert "最近の配信" in said(anna, accept_language="de")
    elsewhere = Client()
    elsewhere.force_login(world.of(Membership).user)
    assert "最近の配信" in said(elsewhere)
    assert 'lang="ja"' in said(elsewhere)


def test_the_page_offers_its_languages(anna: Client) -> None:
    page = said(anna)
    for name in ("English", "Deutsch", "日本語"):
        assert name in page
    assert f'action="{reverse("choose-language")}"' in page


def test_what_is_no_language_and_no_page_of_ours_is_not_followed(anna: Client) -> None:
    answer = anna.post(reverse("choose-language"), {"language": "xx", "next": "https://evil.example/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    assert not StaffSettings.objects.exists()
    assert anna.get(reverse("choose-language")).status_code == 405


def test_somebody_who_is_not_signed_in_chooses_the_language_of_the_sign_in_page() -> None:
    visitor = Client()
    visitor.post(reverse("choose-language"), {"language": "de", "next": "/admin/login/"})
    assert "Anmelden" in visitor.get("/admin/login/").content.decode()
    assert not StaffSettings.objects.exists()


def test_times_are_in_the_zone_of_the_browsers_clock_and_the_page_names_it(
    anna: Client, world: World
) -> None:
    run = world.of(Run)
    Run.objects.filter(pk=run.pk).update(created_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    address = reverse("admin:delivery_run_change", args=[run.pk])
    page = anna.get(address).content.decode()
    assert "1 Jul 2026, 22:30" in page and "Times are those of UTC." in page
    anna.cookies["nh_zone"] = "Asia%2FTokyo"
    page = anna.get(address).content.decode()
    assert "2 Jul 2026, 07:30" in page and "Times are those of Asia/Tokyo." in page
    anna.cookies["nh_zone"] = "Mars%2FOlympus"
    assert "Times are those of UTC." in anna.get(address).content.decode()


def test_numbers_are_grouped_as_the_language_has_it(anna: Client) -> None:
    assert words.number(1234567) == "1,234,567"
    with translation.override("de"):
        assert (words.number(1234567), words.percent(0.1234)) == ("1.234.567", "12,3 %")
        assert words.written(datetime(2026, 12, 24, 9, 5, tzinfo=UTC)) == "Do, 24. Dez 2026, 09:05"
    with translation.override("ja"):
        assert words.written(datetime(2026, 12, 24, 9, 5, tzinfo=UTC)) == "2026年12月24日(木) 09:05"


@pytest.mark.parametrize("language", ["de", "ja"])
def test_the_api_answers_in_english_whatever_is_asked_for(language: str) -> None:
    shop = make_world("shop")
    for method, path, body in (
        ("POST", "campaigns/", {"name": "X", "title": "{{ a", "repeat": "every day"}),
        ("POST", "segments/", {"name": "S", "predicate": {"locle": "de"}}),
        ("GET", "campaigns/00000000-0000-0000-0000-000000000000/", None),
        ("GET", f"why/?subscriber={shop.subscriber.external_id}&run={shop.run.uid}", None),
        ("POST", "events/", {"specversion": "1.0"}),
    ):
        answers = [shop.service(method, path, body, accept_language=wanted) for wanted in ("en", language)]
        said = [re.sub(r"\d\d:\d\d:\d\d[.\d]*", "", answer.content.decode()) for answer in answers]
        assert answers[0].status_code == answers[1].status_code
        assert said[0] == said[1], path


def test_a_choice_costs_no_question_more_with_many_accounts(anna: Client, world: World) -> None:
    said(anna)
    with CaptureQueriesContext(connection) as asked:
        said(anna)
    settings = [one for one in asked if "staffsettings" in one["sql"]]
    assert len(settings) == 1
