"""Events by the API: one, a batch, a batch with bad ones, from services and from clients."""

import json

import pytest

from campaigns.models import Event
from tests.api.test_problems import problem
from tests.api_world import CLIENT_EVENT, Caller, World, event

BATCH = "application/cloudevents-batch+json"


@pytest.mark.parametrize(
    "kind", ["application/cloudevents+json", "application/json", "application/json; charset=utf-8"]
)
def test_an_event_is_stored(shop: World, kind: str) -> None:
    answer = shop.caller("events:write")("POST", "events", event(), kind=kind)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "repeated": 0, "rejected": []})
    stored = Event.objects.get()
    assert (stored.application, stored.source, stored.event_id, stored.lane) == (
        shop.application,
        "/shop",
        "1",
        "high",
    )


@pytest.mark.parametrize("kind", [BATCH, "application/json"])
def test_of_a_batch_the_good_ones_are_stored_and_the_bad_named_by_index(shop: World, kind: str) -> None:
    batch = [event(), event(id="2", type="com.example.order.shiped"), event(id="3"), "no event"]
    answer = shop.service("POST", "events", batch, kind=kind)
    told = answer.json()
    assert (answer.status_code, told["accepted"]) == (202, 2)
    assert [one["index"] for one in told["rejected"]] == [1, 3]
    assert "com.example.order.shipped" in told["rejected"][0]["problem"]["detail"]
    assert sorted(Event.objects.values_list("event_id", flat=True)) == ["1", "3"]


def test_a_batch_without_a_good_event_is_400_and_names_all(shop: World) -> None:
    told = problem(shop.service("POST", "events", [{}, 3], kind=BATCH), 400, "events-rejected")
    assert [one["index"] for one in told["rejected"]] == [0, 1]
    problem(shop.service("POST", "events", [], kind=BATCH), 400, "batch-empty")


def test_the_same_event_again_is_a_repeat_and_another_body_a_clash(shop: World) -> None:
    shop.service("POST", "events", event())
    again = shop.service("POST", "events", json.dumps(event(), indent=3).encode())
    assert (again.status_code, again.json()["repeated"]) == (202, 1)
    problem(shop.service("POST", "events", event(data={"order": 8})), 409, "event-clash")
    assert Event.objects.get().data == {"order": 7}


def test_an_event_in_binary_mode_is_told_the_mode_that_is_taken(shop: World) -> None:
    answer = shop.service("POST", "events", {"order": 7}, ce_specversion="1.0", ce_id="1", ce_source="/shop")
    assert "application/cloudevents+json" in problem(answer, 415, "unsupported-media-type")["detail"]


def test_no_body_is_no_event(shop: World) -> None:
    assert "a JSON object" in problem(shop.service("POST", "events"), 400, "invalid")["detail"]


def test_an_unknown_type_is_400(shop: World) -> None:
    problem(shop.service("POST", "events", event(type="com.example.nothing")), 400, "event-type-unknown")


def test_a_key_without_the_scope_the_lane_or_the_source_is_403(shop: World) -> None:
    problem(shop.caller("runs:read")("POST", "events", event()), 403, "scope-missing")
    problem(shop.caller("events:write", lanes=("normal", "bulk"))("POST", "events", event()), 403, "lane")
    narrow = shop.caller("events:write", source_prefixes=["/bank/"])
    problem(narrow("POST", "events", event()), 403, "event-source")


def test_the_shape_must_be_the_one_that_the_media_type_says(shop: World) -> None:
    problem(shop.service("POST", "events", [event()], kind="application/cloudevents+json"), 400, "invalid")
    problem(shop.service("POST", "events", event(), kind=BATCH), 400, "invalid")


def test_a_clients_event_is_its_subscribers_whatever_it_says(shop: World) -> None:
    sent = event(type=CLIENT_EVENT, source="/bank", subject="somebody-else")
    answer = shop.app()("POST", "events", sent)
    assert answer.status_code == 202, answer.content
    stored = Event.objects.get()
    assert (stored.subject, stored.source) == ("ada-shop", "/subscribers/ada-shop")


def test_a_client_cannot_send_what_is_not_for_clients(shop: World) -> None:
    problem(shop.app()("POST", "events", event()), 403, "event-sender")


def test_nobody_sends_events_without_a_key_or_token(shop: World) -> None:
    told = problem(Caller()("POST", "events", event()), 401, "not-authenticated")
    assert "an API key or a subscriber token" in told["detail"]


def test_another_applications_event_types_are_not_known(shop: World, bank: World) -> None:
    shop.event_type.delete()
    problem(shop.service("POST", "events", event()), 400, "event-type-unknown")
    assert bank.service("POST", "events", event()).status_code == 202
