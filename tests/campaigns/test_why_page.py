"""The page that answers why, as members of the staff reach and use it; nothing of another application shows."""

import time
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.admin import why
from campaigns.models import Campaign, Decision
from delivery import presence
from delivery.content import Content
from delivery.log import body as bodies
from delivery.log.store import NewEntry, OutcomeRow, log_store
from delivery.models import Run
from devices.models import Category, Device, Membership, Role, Segment, Subscriber
from tests.admin_world import World, build, member
from tests.delivery.log.writing import write_outcomes

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
    assert "Meadow-person did not get it" in page and "not met:</span> the language is" in page
    assert "They are not in the audience, because the language is" in page


def test_a_campaign_older_than_those_to_choose_from_is_asked_about_from_its_own_page(
    meadow: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(why, "MOST_CAMPAIGNS", 1)
    old = meadow.of(Campaign)
    Campaign.objects.create(application=meadow.application, name="Newer", title="x")
    there = f"{PAGE}?campaign={old.pk}"
    assert there in client.get(reverse("admin:campaigns_campaign_change", args=[old.pk])).content.decode()
    page = text(client.get(there))
    assert f'<option value="{old.pk}" selected>Meadow campaign</option>' in page and ">Newer</option>" in page
    page = text(client.get(there, {"subscriber": "Meadow-person", "campaign": old.pk}))
    assert "The run “Meadow run” began" in page and f'<option value="{old.pk}" selected>' in page


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


def tell(world: World, count: int = 3) -> list[Any]:
    person, run = world.of(Subscriber), world.of(Run)
    told = [uuid4() for _ in range(count)]
    for number, identity in enumerate(told):
        body = bodies.encode(bodies.Body(Content(title=f"Meadow offer {number}"), "meadow-news", 0))
        entry = NewEntry(person.uid.bytes, identity.bytes, body)
        log_store().append([entry], run=run.uid, stamp=time.time() - 3600 * (number + 1))
    return told


def test_a_person_alone_is_told_of_with_devices_preferences_caps_and_log(
    meadow: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = meadow.of(Device)
    held = {device.uid.bytes: [presence.Held("node-1", time.time() - 60)]}
    monkeypatch.setattr(presence, "online", lambda asked: [held.get(one, []) for one in asked])
    meadow.application.caps = [
        {"category": None, "count": 5, "hours": 24},
        {"category": None, "count": 2, "hours": 2},
        {"category": "other", "count": 4, "hours": 24},
    ]
    meadow.application.quiet_hours = "22:00-08:00"
    meadow.application.save()
    tell(meadow)
    page = text(client.get(PAGE, {"subscriber": "Meadow-person"}))
    assert "Wants notifications." in page and "22:00-08:00 (the application's)" in page
    assert str(device) in page and "since " in page and "Meadow news: on (their choice)" in page
    for left in ("2 of 5 left in any 24 hours", "1 of 2 left in any 2 hours", "4 of 4 left in any 24 hours"):
        assert left in page
    assert "Meadow offer 2" in page and f"run={meadow.of(Run).pk}" in page
    assert meadow.secrets[0] not in page


def test_a_person_is_told_of_when_redis_is_away_and_when_they_have_nothing(
    meadow: World, client: Client
) -> None:
    assert "not known now" in text(client.get(PAGE, {"subscriber": "Meadow-person"}))
    Subscriber.objects.create(application=meadow.application, external_id="new")
    page = text(client.get(PAGE, {"subscriber": "new"}))
    assert "nothing can be pushed to them" in page and "None in their log." in page
    page = text(client.get(PAGE, {"subscriber": "nobody"}))
    assert "There is no subscriber “nobody” in your applications." in page
    assert "no subscriber" in text(client.get(PAGE, {"subscriber": "x\x00y"}))
    assert "Type the id of a person" in text(client.get(PAGE))


def test_an_id_that_several_applications_know_is_asked_about(meadow: World, client: Client) -> None:
    harbour = build("Harbour")
    for world in (meadow, harbour):
        Subscriber.objects.create(application=world.application, external_id="both")
    assert "Whom do you mean?" not in text(client.get(PAGE, {"subscriber": "both"}))
    viewer = Membership.objects.get(user__username="viewer").user
    Membership.objects.create(user=viewer, application=harbour.application, role=Role.VIEWER)
    page = text(client.get(PAGE, {"subscriber": "both"}))
    assert "Whom do you mean?" in page and "both (Harbour app)" in page


@pytest.mark.parametrize("asked", [{}, {"campaign": True}])
def test_the_page_costs_seven_reads_besides_its_own(
    meadow: World, client: Client, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis: list[int] = []
    monkeypatch.setattr(presence, "online", lambda devices: redis.append(1) or [[] for _ in devices])
    meadow.application.caps = [{"category": None, "count": 5, "hours": 24}]
    meadow.application.save()
    query = {name: meadow.of(Campaign).pk for name in asked}

    def cost(more: dict[str, Any]) -> int:
        redis.clear()
        reads = 0
        with ExitStack() as stack:
            seen = [
                stack.enter_context(CaptureQueriesContext(connections[name])) for name in ("default", "log")
            ]
            assert client.get(PAGE, {**query, **more}).status_code == 200
            reads = sum(len(one) for one in seen) + len(redis)
        return reads

    cost({})
    own = cost({})
    before = cost({"subscriber": "Meadow-person"})
    # the page's own: the person by id, and the run's key for the link
    assert before - own <= 7 + 1 + len(asked)
    tell(meadow, 30)
    for number in range(5):
        Category.objects.create(application=meadow.application, key=f"k{number}", name=f"N{number}")
        Device.objects.create(
            application=meadow.application,
            subscriber=meadow.of(Subscriber),
            platform="ios",
            provider="apns",
            token=f"t{number}",
        )
    after = cost({"subscriber": "Meadow-person"})
    assert after - own <= 7 + 1 + len(asked)


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


def test_no_reason_stands_there_as_a_bare_code(meadow: World, client: Client) -> None:
    person, run, device = meadow.of(Subscriber), meadow.of(Run), meadow.of(Device)
    Decision.objects.update(reason="delayed", detail="until 2026-11-27 08:30:00 UTC", forwarded=False)
    ids = (person.uid, uuid4(), device.uid, run.uid)
    write_outcomes([OutcomeRow(*ids, "failed", "unregistered", "", 0, time.time())])
    asked = {"subscriber": "Meadow-person", "campaign": meadow.of(Campaign).pk, "run": run.pk}
    english = text(client.get(PAGE, asked))
    assert "failed, " in english and "The provider knows the token no more" in english
    assert "unregistered" not in english and "(until 2026-11-27 08:30:00 UTC)" in english
    german = text(client.get(PAGE, asked, headers={"accept-language": "de"}))
    assert "(bis 2026-11-27 08:30:00 UTC)" in german
    assert "unregistered" not in german and "The provider knows" not in german


def test_a_retired_device_says_why(meadow: World, client: Client) -> None:
    Device.objects.update(state="retired", retired_reason="replaced")
    asked = {"person": meadow.of(Subscriber).pk}
    page = text(client.get(PAGE, asked))
    assert "Retired. Another device was registered with the same token." in page and "(replaced)" not in page
    page = text(client.get(PAGE, asked, headers={"accept-language": "de"}))
    assert "Ein anderes Gerät wurde mit demselben Token registriert." in page
