"""The admin's first page and menu: true numbers of the member's applications, and only of theirs."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Campaign, CampaignVersion, Schedule
from delivery import ages
from delivery.models import Credential, Gate, Incident, Page, Parcel, Run, WorkState
from devices.models import Application, Device, Membership, Role, Subscriber
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


def parcel(world: World, *, hours: float, reasons: dict[str, int] | None = None, **counts: int) -> None:
    now = time.time()
    Parcel.objects.create(
        run=world.of(Run),
        application=world.application,
        page=world.of(Page),
        lane="bulk",
        provider="fcm",
        state=WorkState.DONE,
        due_at=now,
        created_at=now,
        closed_at=now - hours * 3600,
        reasons=reasons or {},
        size=sum(counts.values()),
        **counts,
    )


def test_it_counts_the_last_day_of_the_members_applications(meadow: World) -> None:
    harbour = build("Harbour")
    parcel(meadow, hours=1, sent=1200, failed=7)
    parcel(meadow, hours=23, sent=34)
    parcel(meadow, hours=25, sent=500, failed=500)
    parcel(harbour, hours=1, sent=9000, failed=9000)
    client = Client()
    client.force_login(meadow.of(Membership).user)
    response = client.get(reverse("admin:index"))
    shown = response.context
    assert (shown["sent"], shown["failed"], shown["going_count"], shown["people"]) == (1234, 7, 1, 1)
    page = response.content.decode()
    assert "1,234" in page and "FCM" in page and "Meadow reason" in page and "Harbour" not in page


def test_it_shows_how_old_messages_were_and_what_is_stopped(
    meadow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def lately(applications: list[int], *, now: float) -> dict[str, ages.Histogram]:
        asked.append(list(applications))
        histogram = ages.Histogram(within=97)
        histogram.buckets[2] = 100
        return {"critical": histogram, "bulk": ages.Histogram()}

    monkeypatch.setattr(ages, "lately", lately)
    client = Client()
    client.force_login(meadow.of(Membership).user)
    page = " ".join(client.get(reverse("admin:index")).content.decode().split())
    assert asked == [[meadow.application.pk]]
    assert "97.0 %</strong> within 1 s" in page and "half within 0.25 s" in page and "100 messages" in page
    assert "The lane normal is stopped" in page and "Meadow hold" in page
    assert reverse("admin:delivery_hold_stop", args=[meadow.application.pk]) in page


def test_whoever_is_in_no_application_is_told_whom_to_ask(meadow: World, django_user_model: type) -> None:
    client = Client()
    client.force_login(django_user_model.objects.create_user("newcomer", is_staff=True))
    assert "You are in no application yet" in client.get(reverse("admin:index")).content.decode()


def test_the_first_superuser_is_led_to_the_first_application(admin_client: Client) -> None:
    assert (
        reverse("admin:devices_application_add") in admin_client.get(reverse("admin:index")).content.decode()
    )


def test_every_item_of_the_menu_leads_somewhere(meadow: World, admin_client: Client) -> None:
    groups = admin_client.get(reverse("admin:index")).context["sidebar_navigation"]
    links = [str(item["link"]) for group in groups for item in group["items"]]
    assert len(links) > 15
    assert {admin_client.get(link).status_code for link in links} == {200}


def test_accounts_are_only_in_a_superusers_menu(meadow: World) -> None:
    client = Client()
    client.force_login(member("viewer", meadow.application, Role.VIEWER))
    assert reverse("admin:auth_user_changelist") not in client.get(reverse("admin:index")).content.decode()
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 403


def test_it_counts_devices_that_went_silent_and_tokens_that_were_lost(meadow: World) -> None:
    holder, now = meadow.of(Subscriber), timezone.now()

    def add(**values: Any) -> None:
        Device.objects.create(
            application=meadow.application, subscriber=holder, platform="web", provider="socket", **values
        )

    for days in (31, 100, 271):
        add(seen_at=now - timedelta(days=days))
    add(state="retired", retired_at=now, retired_reason="dead_token")
    add(retired_at=now, retired_reason="dead_subscription")
    add(state="retired", retired_at=now, retired_reason="removed")
    add(state="retired", retired_at=now - timedelta(days=2), retired_reason="dead_token")
    client = Client()
    client.force_login(meadow.of(Membership).user)
    response = client.get(reverse("admin:index"))
    shown = response.context
    assert (shown["devices"], shown["stale"], shown["lapsed"], shown["lost"]) == (5, 2, 1, 2)
    assert "2 gave no sign of life for 30 days" in response.content.decode()
    page = client.get(reverse("admin:devices_device_changelist") + "?state__exact=active&freshness=stale")
    assert page.context["cl"].result_count == 2 and "Stale" in page.content.decode()


def test_it_warns_of_credentials_that_end_or_are_refused(meadow: World) -> None:
    client = Client()
    client.force_login(meadow.of(Membership).user)
    assert "Add their successor" not in client.get(reverse("admin:index")).content.decode()
    stored = Credential.objects.filter(pk=meadow.of(Credential).pk)
    stored.update(expires_at=timezone.now() + timedelta(days=20))
    assert "end on" in client.get(reverse("admin:index")).content.decode()
    stored.update(expires_at=None, refused_at=timezone.now(), refused_reason="bad_topic")
    assert "are refused by the provider: bad_topic" in client.get(reverse("admin:index")).content.decode()


def test_it_shows_what_waits_what_comes_next_and_what_is_wrong(meadow: World) -> None:
    run, now = meadow.of(Run), time.time()
    Page.objects.update(state=WorkState.DONE)
    work = {"run": run, "application": meadow.application, "page": meadow.of(Page), "created_at": now}
    Parcel.objects.create(**work, lane="bulk", provider="fcm", size=70, due_at=now - 60)
    Parcel.objects.create(**work, lane="critical", provider="fcm", size=7, due_at=now - 60)
    parcel(meadow, hours=1, failed=7, reasons={"unregistered": 7})
    Run.objects.filter(pk=run.pk).update(
        state=Run.State.PAUSED, brake=Run.Brake.TRIPPED, reason="60 of 100 tokens were refused"
    )
    campaign = meadow.of(Campaign)
    Campaign.objects.update(state=Campaign.State.LIVE)
    CampaignVersion.objects.filter(campaign=campaign).update(launch_at=timezone.now() + timedelta(hours=5))
    Schedule.objects.update(due_at=timezone.now() + timedelta(hours=2))
    client = Client()
    client.force_login(meadow.of(Membership).user)
    shown = client.get(reverse("admin:index")).context
    assert [(row["lane"], row["messages"], row["late"]) for row in shown["queue"]] == [
        ("critical", 7, True),
        ("bulk", 70, False),
    ]
    assert [what for _, what, _ in shown["next"]] == ["Schedule “Meadow schedule”", "Meadow campaign"]
    sentences = " ".join(what for what, _, _ in shown["trouble"])
    assert "“Meadow run” is paused: 60 of 100" in sentences and "7 messages failed" in sentences
    assert "Meadow gate is shut" not in sentences  # it stands above, with its gate
    assert shown["hourly"]["table"][-2][1:] == (0, 7)


def test_an_empty_application_is_told_what_to_do_first(django_user_model: type) -> None:
    application = Application.objects.create(name="New", slug="new")
    client = Client()
    client.force_login(member("owner", application, Role.ADMINISTRATOR))
    response = client.get(reverse("admin:index"))
    assert [done for _, _, done in response.context["first_steps"]] == [False, False, False]
    page = response.content.decode()
    for said in (
        "First steps",
        "Nothing was sent",
        "Nothing waits",
        "Nothing is planned",
        "Nothing is wrong",
    ):
        assert said in page


def test_once_two_people_can_approve_an_administrator_is_asked_from_how_many_people_on() -> None:
    application = Application.objects.create(name="New", slug="new")
    others = build("Harbour")
    client, anton = Client(), Client()
    client.force_login(member("owner", application, Role.ADMINISTRATOR))
    member("ed", application, Role.MARKETER)
    gone = member("gone", application, Role.APPROVER)
    User.objects.filter(pk=gone.pk).update(is_active=False)

    def step(client: Client) -> list[tuple[str, str, bool]]:
        return list(client.get(reverse("admin:index")).context["first_steps"][3:])

    assert step(client) == [], "alone, nobody could approve"
    anton.force_login(member("anton", application, Role.APPROVER))
    [(said, address, done)] = step(client)
    assert said.startswith("Two people can approve in New:") and not done
    assert address == f"/admin/devices/application/{application.pk}/change/#id_approval_from"
    assert step(anton) == [], "only an administrator can answer"
    field = client.get(address).content.decode()
    assert 'id="id_approval_from"' in field and "right while one person runs it" in field
    Application.objects.filter(pk=application.pk).update(second_approval_from=1000)
    assert [done for _, _, done in step(client)] == [True]
    client.force_login(User.objects.create_superuser("root"))
    member("olga", others.application, Role.APPROVER)
    [(said, _, done)] = step(client)
    assert said.startswith("Two people can approve in Harbour app:") and not done


def test_it_takes_as_many_queries_for_a_busy_hub(meadow: World, django_assert_max_num_queries: Any) -> None:
    client = Client()
    client.force_login(meadow.of(Membership).user)
    address = reverse("admin:index")
    client.get(address)
    with django_assert_max_num_queries(45) as few:
        client.get(address)
    for hours in range(1, 20):
        parcel(meadow, hours=hours, sent=5, failed=1)
    for number in range(10):
        Gate.objects.create(application=meadow.application, provider=f"p{number}", state=Gate.State.SHUT)
        Incident.objects.create(
            application=meadow.application, kind="lane_late", key=str(number), sentence="x"
        )
    with django_assert_max_num_queries(45) as many:
        client.get(address)
    assert len(many) == len(few)
