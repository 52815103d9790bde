"""The pages of segments: what the builder asks the hub, what is shown, exported and not deleted."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices import facts, known_attributes
from devices.models import Application, AuditEntry, Device, Import, Membership, Role, Segment, Subscriber
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


@pytest.fixture
def editor(meadow: World) -> Client:
    client = Client()
    client.force_login(member("editor", meadow.application, Role.MARKETER))
    return client


def count(client: Client, application: Application, predicate: Any) -> Any:
    body = json.dumps({"application": application.pk, "predicate": predicate})
    return client.post(reverse("admin:devices_segment_count"), body, content_type="application/json")


def test_the_builder_is_told_how_many_and_how_many_devices(meadow: World, editor: Client) -> None:
    harbour = build("Harbour")
    Subscriber.objects.create(
        application=meadow.application, external_id="hans", locale="de-AT", consent=False
    )
    Subscriber.objects.create(application=harbour.application, external_id="elsewhere", locale="de-AT")
    Subscriber.objects.filter(external_id="Meadow-person").update(locale="de")
    told = count(editor, meadow.application, {"locale": "de"}).json()
    assert told["sentence"] == "2 people of 2" and told["devices"] == {"Android": 1} and told["exact"]
    assert told["notes"] == ["1 of them want no notifications."]


def test_an_attribute_that_nobody_has_is_told_with_what_was_meant(meadow: World, editor: Client) -> None:
    Subscriber.objects.filter(application=meadow.application).update(
        attributes={"plan": "pro", "address": {"city": "Bern"}}
    )
    known_attributes.forget()
    asked = {"any": [{"attribute": "plann", "is": "pro"}, {"attribute": "colour", "exists": True}]}
    notes = count(editor, meadow.application, asked).json()["notes"]
    assert notes == [
        "`colour`: no subscriber looked at has this attribute.",
        "`plann`: did you mean `plan`?",
    ]
    for name in ("plan", "address", "address.city"):
        asked = {"attribute": name, "exists": True}
        assert count(editor, meadow.application, asked).json()["notes"] == []


def test_what_is_wrong_is_told_with_its_place(meadow: World, editor: Client) -> None:
    told = count(
        editor, meadow.application, {"all": [{"locale": "de"}, {"app_version": {"above": "new"}}]}
    ).json()
    assert told["errors"][0]["pointer"] == "/all/1/app_version/above"
    assert told["errors"][0]["reason"].startswith("Write a version")
    wrong = {"any": [{"segment": "00000000-0000-0000-0000-000000000000"}]}
    assert count(editor, meadow.application, wrong).json()["errors"][0]["pointer"] == "/any/0/segment"
    for body in (b"", b"[]", b"{", b'{"application": 1}', b"x" * 70_000):
        answer = editor.post(reverse("admin:devices_segment_count"), body, content_type="application/json")
        assert answer.status_code == 400


def test_facts_say_since_when_they_are_counted(meadow: World, editor: Client) -> None:
    asked = {"event": "bought", "within_days": 9}
    told = count(editor, meadow.application, asked).json()
    assert "“bought” is counted from when this segment is saved." in told["notes"]
    Segment.objects.create(application=meadow.application, name="Buyers", predicate=asked)
    told = count(editor, meadow.application, asked).json()
    assert "“bought” is counted since 20" in told["notes"][0]


def test_strangers_count_and_suggest_nothing(meadow: World) -> None:
    stranger = Client()
    stranger.force_login(build("Harbour").of(Membership).user)
    assert count(stranger, meadow.application, {"locale": "de"}).status_code == 404
    for key in (meadow.application.pk, "x", "9" * 30, ""):
        asked = {"application": key}
        assert stranger.get(reverse("admin:devices_segment_suggest"), asked).status_code == 404
        names = stranger.get(reverse("admin:campaigns_eventtype_names"), asked)
        assert names.json() == {"events": []}


def test_suggestions_are_the_applications_own(meadow: World, editor: Client) -> None:
    asked = {"application": meadow.application.pk}
    told = editor.get(reverse("admin:devices_segment_suggest"), asked).json()
    assert [one["name"] for one in told["attributes"]] == ["plan"]
    assert [one["name"] for one in told["segments"]] == ["Meadow segment"]
    told = editor.get(reverse("admin:campaigns_eventtype_names"), asked).json()
    assert told == {"events": ["com.meadow.ordered"]}


def test_a_segment_is_made_with_the_builders_json_and_keeps_it_when_it_is_wrong(
    meadow: World, editor: Client
) -> None:
    page = editor.get(reverse("admin:devices_segment_add")).content.decode()
    assert "data-builder" in page and "devices/segment-builder.js" in page and 'type="module"' in page
    editor.post(
        reverse("admin:devices_segment_add"),
        {"name": "Openers", "predicate": json.dumps({"all": [{"opened": {"within_days": 30}}]})},
    )
    assert Segment.objects.get(name="Openers").uses.count() == 0
    assert list(facts.wanted(meadow.application.pk)) == ["opened"]
    answer = editor.post(
        reverse("admin:devices_segment_add"), {"name": "x", "predicate": '{"opened": {"within_days": 900}}'}
    )
    assert "write a whole number from 1 to 365" in answer.content.decode()
    assert "900" in answer.content.decode()


def test_a_segment_that_is_used_is_not_deleted_and_it_is_said_by_whom(meadow: World, editor: Client) -> None:
    segment = meadow.of(Segment)
    Segment.objects.create(
        application=meadow.application, name="Outer", predicate={"not": {"segment": str(segment.uid)}}
    )
    address = reverse("admin:devices_segment_delete", args=[segment.pk])
    page = editor.get(address).content.decode()
    assert "Outer" in page and "Meadow campaign" in page
    editor.post(address, {"post": "yes"})
    assert Segment.objects.filter(pk=segment.pk).exists()


def test_the_export_is_scoped_streamed_and_safe_for_spreadsheets(meadow: World, editor: Client) -> None:
    harbour = build("Harbour")
    for number, bad in enumerate(("=1+1", "+1", "-1", "@x", "\tx", "\rx", "'fine", 'q"uote, comma')):
        Subscriber.objects.create(
            application=meadow.application, external_id=f"p{number}", attributes={"note": bad, "points": -5}
        )
    everybody = Segment.objects.create(
        application=meadow.application, name="=All of them", predicate={"not": {"external_id": "nobody"}}
    )
    answer = editor.get(reverse("admin:devices_segment_export", args=[everybody.pk]))
    assert answer.streaming and "attachment" in answer["Content-Disposition"]
    text = answer.getvalue().decode()
    assert "Harbour" not in text and harbour.application.pk
    assert text.startswith("\ufeffexternal_id,locale,time_zone,quiet_hours,consent,note,plan,points\r\n")
    for cell in ("'=1+1", "'+1", "'-1", "'@x", "'\tx", '"\'\rx"', "'fine", '"q""uote, comma"'):
        assert f",{cell},,-5" in text, cell


@pytest.mark.parametrize("name", ["devices_segment_changelist", "devices_import_changelist"])
def test_lists_cost_the_same_number_of_queries_whatever_their_length(
    meadow: World, editor: Client, name: str
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert editor.get(reverse(f"admin:{name}")).status_code == 200
        return len(queries)

    editor.get(reverse(f"admin:{name}"))
    before = cost()
    for number in range(20):
        Segment.objects.create(application=meadow.application, name=f"s{number}", predicate={"locale": "de"})
        Import.objects.create(application=meadow.application, file_name=f"f{number}")
    assert cost() == before


def test_devices_of_a_fixed_list_are_counted_too(meadow: World, editor: Client) -> None:
    fixed = Segment.objects.create(application=meadow.application, name="Fixed", is_static=True)
    fixed.members.create(subscriber=Subscriber.objects.get(external_id="Meadow-person"))
    told = count(editor, meadow.application, fixed.predicate).json()
    assert told["people"] == 1 and told["devices"] == {"Android": Device.objects.count()}
    page = editor.get(reverse("admin:devices_segment_change", args=[fixed.pk])).content.decode()
    assert "fixed list" in page and "data-builder" not in page and "data-segment-count" in page


def test_subscribers_are_exported_of_one_application(meadow: World, editor: Client) -> None:
    harbour = build("Harbour")
    address = reverse("admin:devices_subscriber_export")
    text = editor.get(address).getvalue().decode()
    assert "Meadow-person" in text and "Harbour" not in text
    user = Membership.objects.get(user__username="editor").user
    elsewhere = Membership.objects.create(user=user, application=harbour.application, role=Role.VIEWER)
    text = editor.get(address, {"application": harbour.application.pk}).getvalue().decode()
    assert "Meadow-person" in text and "Harbour" not in text
    elsewhere.role = Role.MARKETER
    elsewhere.save()
    page = editor.get(address, follow=True).content.decode()
    assert "Of which application?" in page and f"export/?application={harbour.application.pk}" in page
    text = editor.get(address, {"application": harbour.application.pk}).getvalue().decode()
    assert "Harbour-person" in text and "Meadow" not in text
    for other in ("999", "x", "²"):
        assert not editor.get(address, {"application": other}).streaming


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_people_are_exported_by_those_alone_who_may_write(meadow: World, role: Role) -> None:
    source = meadow.of(Import)
    Import.objects.update(refused=1)
    segment = meadow.of(Segment)
    reader, writer = Client(), Client()
    reader.force_login(member("reader", meadow.application, role))
    writer.force_login(member("writer", meadow.application, Role.MARKETER))
    for page, button in (
        (reverse("admin:devices_segment_change", args=[segment.pk]), ("segment_export", [segment.pk])),
        (reverse("admin:devices_subscriber_changelist"), ("subscriber_export", [])),
        (reverse("admin:devices_import_change", args=[source.pk]), ("import_refused", [source.pk])),
    ):
        address = reverse(f"admin:devices_{button[0]}", args=button[1])
        assert address in writer.get(page).content.decode()
        assert writer.get(address).status_code == 200
        assert address not in reader.get(page).content.decode()
        before = AuditEntry.objects.count()
        refused = reader.get(address)
        assert refused.status_code == 403
        assert "Your role does not allow this" in refused.content.decode()
        assert "Meadow-person" not in refused.content.decode()
        assert AuditEntry.objects.count() == before
