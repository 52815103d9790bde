"""A transactional send is stored once, for everybody in it or for nobody."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from campaigns import idempotency, notifications
from campaigns.models import Campaign, IdempotencyKey
from campaigns.notifications import SendError, send
from delivery.models import Page, Run
from delivery.positions import notification_id
from delivery.snapshot import decode_people, from_json
from devices.models import ApiKey, Application, Category, Subscriber

HELLO = {"to": "anna", "title": "Hello"}


def test_named_subscribers_are_told(
    application: Application, key: ApiKey, anna: Subscriber, ben: Subscriber
) -> None:
    document = {
        "to": ["anna", "ben", "anna"],
        "title": "Code {{ code }}",
        "locales": {"de": {"title": "Kode {{ code }}"}},
        "variables": {"code": "1234"},
        "ttl": 60,
    }
    answer = send(application, key, document)
    run = Run.objects.get(uid=answer["run"])
    snapshot = from_json(run.snapshot)
    assert [one["to"] for one in answer["notifications"]] == ["anna", "ben"]
    assert answer["notifications"][0]["id"] == str(notification_id(run.uid, anna.uid))
    assert (run.kind, run.lane, run.title) == (Run.Kind.DIRECT, "high", "Code {{ code }}")
    assert snapshot.variables == {"code": "1234"} and snapshot.texts["de"].title == "Kode {{ code }}"
    assert [named.subscriber for named in decode_people(bytes(Page.objects.get().people))] == [
        anna.pk,
        ben.pk,
    ]
    assert run.expires_at is not None and run.expires_at < timezone.now() + timedelta(seconds=61)


def test_a_campaign_may_say_what_is_told(
    application: Application, key: ApiKey, anna: Subscriber, campaign: Campaign
) -> None:
    answer = send(
        application, key, {"to": "anna", "campaign": str(campaign.uid), "variables": {"event": {"order": 1}}}
    )
    run = Run.objects.get(uid=answer["run"])
    assert run.origin == f"campaign:{campaign.uid}:v1"
    assert from_json(run.snapshot).texts["en"].title == "Order {{ event.data.order }}"


@pytest.mark.parametrize(
    ("document", "status", "code", "pointer"),
    [
        ({"to": "anna"}, 400, "request-invalid", ""),
        ({"title": "x"}, 400, "request-invalid", ""),
        ({**HELLO, "to": []}, 400, "request-invalid", "/to"),
        ({**HELLO, "to": ["anna", 5]}, 400, "request-invalid", "/to/1"),
        ({**HELLO, "to": ["anna"] * 1_001}, 400, "request-invalid", "/to"),
        ({**HELLO, "titel": "x"}, 400, "request-invalid", ""),
        ({**HELLO, "ttl": 0}, 400, "request-invalid", "/ttl"),
        ({**HELLO, "lane": "fast"}, 400, "request-invalid", "/lane"),
        ({**HELLO, "lane": "critical"}, 403, "lane", "/lane"),
        ({**HELLO, "to": ["anna", "nobody"]}, 404, "subscriber-unknown", "/to"),
        ({**HELLO, "category": "none"}, 400, "category-unknown", "/category"),
        ({**HELLO, "title": "{{ x"}, 400, "content", "/title"),
        ({**HELLO, "locales": {"de": {"body": "{% if %}"}}}, 400, "content", "/locales/de/body"),
        ({**HELLO, "overrides": {"fridge": {}}}, 400, "content", "/overrides/fridge"),
        ({**HELLO, "data": {"n": 5}}, 400, "content", "/data/n"),
        ({**HELLO, "variables": {"x": "y" * 20_000}}, 413, "variables-too-large", "/variables"),
        ({**HELLO, "variables": {"x": "\x00"}}, 400, "request-invalid", ""),
        ({"to": "anna", "campaign": "x"}, 400, "request-invalid", "/campaign"),
        ({"to": "anna", "campaign": str(UUID(int=1))}, 404, "campaign-unknown", "/campaign"),
        ([], 400, "request-invalid", ""),
    ],
)
def test_what_cannot_be_told_is_refused_and_nobody_is(
    application: Application,
    key: ApiKey,
    anna: Subscriber,
    document: Any,
    status: int,
    code: str,
    pointer: str,
) -> None:
    with pytest.raises(SendError) as refused:
        send(application, key, document, "key")
    problem = refused.value.problem
    assert (problem.status, problem.code, problem.pointer) == (status, code, pointer)
    assert not Run.objects.exists() and not IdempotencyKey.objects.exists()


def test_unknown_recipients_are_named(application: Application, key: ApiKey, anna: Subscriber) -> None:
    with pytest.raises(SendError, match="“carl”, “dora”") as refused:
        send(application, key, {**HELLO, "to": ["carl", "anna", "dora"]})
    assert "anna" not in refused.value.problem.detail


def test_a_campaign_that_is_not_in_force_is_refused(
    application: Application, key: ApiKey, anna: Subscriber, campaign: Campaign
) -> None:
    Campaign.objects.update(state="draft")
    with pytest.raises(SendError) as refused:
        send(application, key, {"to": "anna", "campaign": str(campaign.uid)})
    assert refused.value.problem.status == 409


def test_a_category_is_looked_up_in_the_application(
    application: Application, key: ApiKey, anna: Subscriber
) -> None:
    category = Category.objects.create(application=application, key="codes", name="Codes")
    answer = send(application, key, {**HELLO, "category": "codes"})
    assert Run.objects.get(uid=answer["run"]).category == category


def test_the_same_key_and_body_again_is_the_first_answer(
    application: Application, key: ApiKey, anna: Subscriber
) -> None:
    first = send(application, key, HELLO, "k1")
    assert send(application, key, dict(reversed(HELLO.items())), "k1") == first
    assert Run.objects.count() == 1
    assert send(application, key, HELLO, "k2") != first
    anna.delete()
    assert send(application, key, HELLO, "k1") == first


def test_a_key_used_with_another_body_is_refused(
    application: Application, key: ApiKey, anna: Subscriber
) -> None:
    send(application, key, HELLO, "k1")
    with pytest.raises(SendError) as refused:
        send(application, key, {**HELLO, "title": "Other"}, "k1")
    assert refused.value.problem.status == 422 and Run.objects.count() == 1


def test_the_same_request_in_flight_is_refused(
    application: Application, key: ApiKey, anna: Subscriber
) -> None:
    idempotency.claim(application, "k1", notifications.canonical(HELLO))
    with pytest.raises(SendError) as refused:
        send(application, key, HELLO, "k1")
    assert refused.value.problem.status == 409 and not Run.objects.exists()


def test_a_request_whose_worker_died_is_done_once_by_the_next(
    application: Application, key: ApiKey, anna: Subscriber
) -> None:
    idempotency.claim(application, "k1", notifications.canonical(HELLO))
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    first = send(application, key, HELLO, "k1")
    IdempotencyKey.objects.update(answer=None)  # as if two had taken it over at once
    assert send(application, key, HELLO, "k1") == first
    assert Run.objects.count() == 1 and Page.objects.count() == 1


def test_another_applications_key_is_another(application: Application, key: ApiKey, anna: Subscriber) -> None:
    other = Application.objects.create(name="Other", slug="other")
    Subscriber.objects.create(application=other, external_id="anna")
    first = send(application, key, HELLO, "k1")
    assert send(other, key, HELLO, "k1")["run"] != first["run"]
