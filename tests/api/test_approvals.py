"""Before a launch, by the API: the same warnings, numbers and approvals as the admin's page *Check and launch* has."""

from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from campaigns import launching, preflight
from campaigns.models import Approval, Campaign
from delivery.models import Run
from devices.models import Application, Device, Role, Subscriber
from tests.admin_world import member
from tests.api.test_problems import problem
from tests.api_world import Caller, World

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def path(shop: World) -> str:
    """A campaign that a key wrote, to everybody, in an application that wants every launch approved."""
    Application.objects.update(approval_from=0)
    body = {"name": "summer", "title": "Hi", "link": "https://shop.example/"}
    return f"campaigns/{shop.service('POST', 'campaigns', body).json()['id']}"


@pytest.fixture
def other(shop: World) -> Caller:
    """Another key: it did not write the campaign."""
    return shop.caller("campaigns:read", "campaigns:launch")


def look(caller: Caller, path: str) -> dict[str, Any]:
    answer = caller("GET", f"{path}/preflight")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def people(shop: World, count: int) -> None:
    Subscriber.objects.bulk_create(
        Subscriber(application=shop.application, external_id=f"p{number}") for number in range(count)
    )


@pytest.fixture(scope="module")
def document() -> Any:
    """What an answer of preflight is, by the API's schema."""
    schema = SchemaGenerator(urlconf="notifyhub.urls").get_schema(request=None, public=True)
    return {"$ref": "#/components/schemas/Preflight", "components": schema["components"]}


@pytest.mark.parametrize(
    ("fields", "pointer", "said"),
    [
        ({"title": "Hi {{ plam }}"}, "/title", "did you mean `plan`?"),
        ({"link": "http://shop.example/"}, "/link", "It is not https://"),
        ({"ttl": 60}, "/ttl", "60 seconds after it begins"),
        ({"locales": {"de": {"body": "<b>x</b>"}}}, "/locales/de/body", "notifications are plain text"),
        ({"overrides": {"tv": {"link": "shop"}}}, "/overrides/tv/link", "It has no scheme"),
    ],
)
def test_preflight_warns_of_what_the_admins_page_warns_of(
    shop: World, path: str, document: Any, fields: dict[str, Any], pointer: str, said: str
) -> None:
    assert shop.service("PATCH", path, fields).status_code == 200
    looked = look(shop.service, path)
    assert [
        one["detail"] for one in looked["warnings"] if one["pointer"] == pointer and said in one["detail"]
    ]
    shown = preflight.look(Campaign.objects.get(name="summer"))
    assert [one["detail"] for one in looked["warnings"]] == [one.text for one in shown.warnings]
    assert looked["ready"] and looked["digest"] == shown.digest
    jsonschema.validate(looked, document)


def test_preflight_notes_what_the_admins_page_notes(
    shop: World, path: str, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(shop.service, path)["notes"] == []
    monkeypatch.setattr(preflight, "WORTH_A_CONTROL", 1)
    looked = look(shop.service, path)
    jsonschema.validate(looked, document)
    [noted] = looked["notes"]
    assert noted["pointer"] == "/experiment" and "no control group" in noted["detail"]


def test_preflight_says_who_approved_what_and_what_is_still_needed(
    shop: World, path: str, other: Caller, document: Any
) -> None:
    before = look(other, path)["approval"]
    assert (before["needed"], before["missing"], before["complete"]) == (1, 1, False)
    assert before["approvals"] == [] and before["refusal"] == ""
    assert "Nobody approves their own" in look(shop.service, path)["approval"]["refusal"]
    problem(shop.service("POST", f"{path}/approve"), 409, "campaign-approval")
    assert other("POST", f"{path}/approve").json()["state"] == "approved"
    looked = look(shop.service, path)
    jsonschema.validate(looked, document)
    (given,) = looked["approval"]["approvals"]
    assert looked["approval"]["complete"] and given["by"].startswith("key:") and given["void"] is None
    assert given["numbers"]["audience"] == looked["dry_run"]["audience"] == 1


def test_preflight_says_why_an_approval_is_void(shop: World, path: str, other: Caller, document: Any) -> None:
    other("POST", f"{path}/approve")
    shop.service("PATCH", path, {"title": "Bye"})
    found = look(shop.service, path)["approval"]
    assert (found["missing"], found["approvals"][0]["void"]) == (1, "the campaign was edited since")
    other("POST", f"{path}/approve")
    people(shop, 5)
    looked = look(shop.service, path)
    jsonschema.validate(looked, document)
    assert [one["void"] for one in looked["approval"]["approvals"]] == [
        "the audience was 1 people, now it is 6",
        "the campaign was edited since",
    ]
    problem(shop.service("POST", f"{path}/launch"), 409, "campaign-approval")


def test_a_key_and_a_person_sign_the_same_numbers(shop: World, path: str, other: Caller) -> None:
    Application.objects.update(second_approval_from=0)
    assert other("POST", f"{path}/approve").json()["state"] == "in_review"
    campaign = Campaign.objects.get(name="summer")
    browser = Client()
    browser.force_login(member("anton", shop.application, Role.APPROVER))
    browser.post(reverse("admin:campaigns_campaign_approve", args=[campaign.pk]))
    by_person, by_key = Approval.objects.all()
    assert (by_person.author, by_key.author[:4]) == ("user:anton", "key:")
    assert by_key.digest == by_person.digest
    # they looked at two instants
    assert {**by_key.numbers, "at": 0} == {**by_person.numbers, "at": 0}
    assert by_key.numbers["messages"] == {"socket": 1} and by_key.numbers["largest_bytes"]["socket"] > 0
    assert shop.service("POST", f"{path}/launch").status_code == 202


def test_whoever_approves_from_a_program_without_looking_signs_numbers_too(shop: World, path: str) -> None:
    launching.approve(Campaign.objects.get(name="summer"), by="key other")
    assert Approval.objects.get().numbers["messages"] == {"socket": 1}


def test_what_was_seen_is_what_is_signed(shop: World, path: str, other: Caller) -> None:
    people(shop, 20)
    looked = look(other, path)
    people_more = Subscriber(application=shop.application, external_id="late")
    people_more.save()
    assert other("POST", f"{path}/approve", {"seen": looked["seen"]}).status_code == 200
    signed = Approval.objects.get().numbers
    assert (signed["told"], signed["audience"]) == (21, 22), "it told 21 when it was looked at"


@pytest.mark.parametrize("what", ["approve", "launch"])
def test_what_is_another_by_now_is_not_approved_or_launched(
    shop: World, path: str, other: Caller, what: str
) -> None:
    Application.objects.update(approval_from=None)
    seen = look(other, path)["seen"]
    shop.service("PATCH", path, {"title": "Bye"})
    told = problem(other("POST", f"{path}/{what}", {"seen": seen}), 409, "campaign-changed")
    assert "It was edited while you looked" in told["detail"]
    seen = look(other, path)["seen"]
    people(shop, 5)
    told = problem(other("POST", f"{path}/{what}", {"seen": seen}), 409, "campaign-changed")
    assert "changed by more than a tenth" in told["detail"]
    told = problem(other("POST", f"{path}/{what}", {"seen": f"{seen[:-3]}xyz"}), 409, "campaign-changed")
    assert "too old" in told["detail"]
    elsewhere = look(other, f"campaigns/{shop.campaign.uid}")["seen"]
    problem(other("POST", f"{path}/{what}", {"seen": elsewhere}), 409, "campaign-changed")
    problem(other("POST", f"{path}/{what}", {"sean": seen}), 400, "invalid")
    assert not Approval.objects.exists() and not Run.objects.filter(title="summer").exists()
    assert other("POST", f"{path}/{what}", {"seen": look(other, path)["seen"]}).status_code < 300


def test_what_is_too_large_for_somebody_is_not_approved(shop: World, path: str, other: Caller) -> None:
    shop.service("PATCH", path, {"data": {"note": "{{ note }}"}})
    keys = [
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "a" * 22,
    ]
    Device.objects.update(provider="webpush", token=f'["https://x.test/", "{keys[0]}", "{keys[1]}"]')
    Subscriber.objects.update(attributes={"note": "x" * 4_500})
    looked = look(other, path)
    assert (looked["ready"], looked["seen"]) == (False, "")
    told = problem(other("POST", f"{path}/approve"), 400, "invalid")
    assert told["errors"][0]["pointer"] == "/data" and "1 of 1 messages" in told["errors"][0]["detail"]
    assert not Approval.objects.exists()


def test_a_campaign_that_does_not_hold_together_has_no_standing(
    shop: World, path: str, document: Any
) -> None:
    Campaign.objects.update(title="")
    looked = look(shop.service, path)
    jsonschema.validate(looked, document)
    assert (looked["approval"], looked["dry_run"], looked["digest"], looked["seen"]) == (None, None, "", "")


def test_a_key_that_writes_variants_is_an_author_and_one_that_chooses_the_winner_is_not(
    shop: World, path: str
) -> None:
    fields: dict[str, Any] = {"variants": [{"key": "A"}, {"key": "B", "title": "Other"}], "goal": None}
    tester, chooser = (shop.caller("campaigns:read", "campaigns:write", "campaigns:launch") for _ in "ab")
    assert tester("PUT", f"{path}/experiment", fields).status_code == 200
    assert "Nobody approves their own" in look(tester, path)["approval"]["refusal"]
    problem(tester("POST", f"{path}/approve"), 409, "campaign-approval")
    assert chooser("PUT", f"{path}/experiment", {**fields, "winner": "B"}).status_code == 200
    assert look(chooser, path)["approval"]["refusal"] == ""
    remover = shop.caller("campaigns:read", "campaigns:write", "campaigns:launch")
    assert remover("DELETE", f"{path}/experiment").status_code == 204
    problem(remover("POST", f"{path}/approve"), 409, "campaign-approval")


# -- a canary


def test_a_canary_is_launched_looked_at_and_goes_on(shop: World, path: str, document: Any) -> None:
    Application.objects.update(approval_from=None)
    assert look(shop.service, path)["canary"] is None
    people(shop, 200)
    launched = shop.service("POST", f"{path}/launch", {"canary": 20}).json()
    run = shop.service("GET", f"runs/{launched['run']}").json()
    assert run["title"] == "summer: first 20%"
    looked = look(shop.service, path)
    jsonschema.validate(looked, document)
    found = looked["canary"]
    assert (found["percent"], found["run"]) == (20, launched["run"])
    assert (found["failed"], found["opted_out"], found["compares"], found["winner"]) == (0, 0, False, "")
    problem(shop.caller("campaigns:write")("POST", f"{path}/go-on"), 403, "scope-missing")
    others = shop.service("POST", f"{path}/go-on")
    assert others.status_code == 202 and others.json()["run"] != launched["run"]
    assert Run.objects.filter(title="summer").count() == 1
    problem(shop.service("POST", f"{path}/go-on"), 409, "campaign-state")
    problem(shop.service("POST", f"{path}/stop-canary"), 409, "campaign-state")
    assert look(shop.service, path)["canary"] is None


def test_a_canary_is_stopped(shop: World, path: str) -> None:
    Application.objects.update(approval_from=None)
    launched = shop.service("POST", f"{path}/launch", {"canary": 1}).json()
    [stopped] = shop.service("POST", f"{path}/stop-canary").json()["runs"]
    assert (stopped["id"], stopped["state"]) == (launched["run"], "cancelled")
    assert not Run.objects.filter(title="summer").exists()


@pytest.mark.parametrize("share", [-1, 51, "x", 1.5, None])
def test_a_share_that_is_none_is_refused(shop: World, path: str, share: Any) -> None:
    told = problem(shop.service("POST", f"{path}/launch", {"canary": share}), 400, "invalid")
    assert [error["pointer"] for error in told["errors"]] == ["/canary"]
