"""The page that answers why, as members of the staff reach and use it; nothing of another application shows."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from delivery.models import Run
from devices.models import Membership, Role, Segment, Subscriber
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])
PAGE = reverse("admin:campaigns_why")


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


@pytest.fixture
def client(meadow: World) -> Client:
    browser = Client()
    browser.force_login(member("viewer", meadow.application, Role.VIEWER))
    return browser


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_a_campaign_and_a_person_are_asked_about(meadow: World, client: Client) -> None:
    page = text(client.get(PAGE, {"subscriber": "Meadow-person", "campaign": meadow.of(Campaign).pk}))
    assert "The run “Meadow run” began" in page and "The rule forwarded the event to its campaign." in page
    unsent = Campaign.objects.create(
        application=meadow.application, name="Later", title="x", segment=meadow.of(Segment)
    )
    page = text(client.get(PAGE, {"subscriber": "Meadow-person", "campaign": unsent.pk}))
    assert "Meadow-person did not get it" in page and "✗ the language is" in page
    assert "They are not in the audience, because the language is" in page


def test_a_run_asks_about_itself(meadow: World, client: Client) -> None:
    run = meadow.of(Run)
    form = text(client.get(reverse("admin:delivery_run_change", args=[run.pk])))
    assert f'action="{PAGE}"' in form and f'name="run" value="{run.pk}"' in form
    page = text(client.get(PAGE, {"subscriber": "Meadow-person", "run": run.pk}))
    assert "The run “Meadow run” began" in page


def test_a_subscriber_leads_to_the_page_with_their_id_filled_in(meadow: World, client: Client) -> None:
    person = meadow.of(Subscriber)
    there = f"{PAGE}?person={person.pk}"
    assert there in client.get(reverse("admin:devices_subscriber_change", args=[person.pk])).content.decode()
    page = text(client.get(there))
    assert 'value="Meadow-person"' in page and "Meadow campaign" in page


def test_a_person_that_there_is_not_is_said_to_be_missing(meadow: World, client: Client) -> None:
    page = text(client.get(PAGE, {"subscriber": "nobody", "campaign": meadow.of(Campaign).pk}))
    assert "There is no subscriber “nobody” in Meadow app." in page


def test_nothing_of_another_application_is_found_or_shown(meadow: World, client: Client) -> None:
    harbour = build("Harbour")
    for asked in (
        {"campaign": harbour.of(Campaign).pk},
        {"run": harbour.of(Run).pk},
        {"person": harbour.of(Subscriber).pk},
        {"campaign": "x"},
        {"run": "9" * 30},
    ):
        response = client.get(PAGE, {"subscriber": "Meadow-person", **asked})
        assert response.status_code == 404 and "Harbour" not in text(response)
    page = text(client.get(PAGE, {"subscriber": "Harbour-person", "campaign": meadow.of(Campaign).pk}))
    assert "There is no subscriber" in page and "Harbour campaign" not in page


def test_somebody_in_no_application_and_somebody_not_signed_in_see_nothing(
    meadow: World, client: Client
) -> None:
    Membership.objects.filter(user__username="viewer").delete()
    assert client.get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302
