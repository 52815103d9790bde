"""Events are stored once, whoever sends them, and what is wrong with one is said by its index."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.intake import BATCH_LIMIT, BatchError, Sender, accept
from campaigns.models import Event, EventType
from devices.models import ApiKey, Application, Subscriber

Make = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture
def sender(key: ApiKey) -> Sender:
    return Sender.key(key)


def _problems(
    application: Application, documents: list[Any], sender: Sender
) -> list[tuple[int, int, str, str]]:
    rejected = accept(application, documents, sender).rejected
    return [(one.index, one.problem.status, one.problem.code, one.problem.pointer) for one in rejected]


def test_an_event_is_stored_and_rung_for(
    application: Application,
    sender: Sender,
    event: Make,
    rings: list[tuple[str, str]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        accepted = accept(application, [event(time="2026-01-31T09:30:00+01:00")], sender)
    stored = Event.objects.get()
    assert accepted.stored == [stored.uid] and not accepted.rejected and accepted.repeated == 0
    assert (stored.source, stored.event_id, stored.subject) == ("/shop/orders", "1", "anna")
    assert stored.time.isoformat() == "2026-01-31T08:30:00+00:00" and stored.data == {"order": 7}
    assert (stored.lane, stored.sender, stored.decided) == ("high", "keys", False)
    assert rings == [("decide", "high")]


def test_the_same_event_again_changes_nothing(application: Application, sender: Sender, event: Make) -> None:
    first = accept(application, [event()], sender)
    again = accept(application, [event(), event("2"), event("2")], sender)
    assert (len(first.stored), len(again.stored), again.repeated) == (1, 1, 2)
    assert Event.objects.count() == 2


def test_another_body_under_a_known_identity_is_refused_and_the_first_stands(
    application: Application, sender: Sender, event: Make
) -> None:
    accept(application, [event()], sender)
    problems = _problems(
        application, [event(data={"order": 8}), event("2", data=1), event("2", data=2)], sender
    )
    assert problems == [(0, 409, "event-clash", "/id"), (2, 409, "event-clash", "/id")]
    assert Event.objects.get(event_id="1").data == {"order": 7} and Event.objects.get(event_id="2").data == 1


def test_the_same_identity_in_another_application_is_another_event(
    application: Application, sender: Sender, event: Make
) -> None:
    other = Application.objects.create(name="Other", slug="other")
    EventType.objects.create(application=other, name="com.shop.shipped", lane="high")
    accept(application, [event()], sender)
    assert len(accept(other, [event(data=None)], sender).stored) == 1


def test_the_good_events_of_a_batch_are_stored_and_the_bad_named_by_index(
    application: Application, sender: Sender, event: Make
) -> None:
    documents = [event("a"), 5, event("b", specversion="0.3"), event("c"), event("d", type="com.shop.shiped")]
    accepted = accept(application, documents, sender)
    assert len(accepted.stored) == 2
    assert [one.index for one in accepted.rejected] == [1, 2, 4]
    assert "Did you mean com.shop.shipped?" in accepted.rejected[2].problem.detail
    assert accepted.rejected[1].as_dict()["problem"]["pointer"] == "/specversion"


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"id": ""}, "/id"),
        ({"id": 5}, "/id"),
        ({"id": None}, "/id"),
        ({"id": "x" * 201}, "/id"),
        ({"source": "not a uri"}, "/source"),
        ({"source": "/100%"}, "/source"),
        ({"type": " "}, "/type"),
        ({"subject": ""}, "/subject"),
        ({"time": "yesterday"}, "/time"),
        ({"time": "2026-13-01T00:00:00Z"}, "/time"),
        ({"time": "2026-01-01T00:00:00"}, "/time"),
        ({"time": "9999-12-31T23:59:59-10:00"}, "/time"),
        ({"Upper": "x"}, "/Upper"),
        ({"extra": {"an": "object"}}, "/extra"),
        ({"extra": 1.5}, "/extra"),
        ({"datacontenttype": "json"}, "/datacontenttype"),
        ({"data_base64": "e30="}, "/data_base64"),
        ({"data": "\x00"}, ""),
        ({"data": "\ud800"}, ""),
        ({"data": float("nan")}, ""),
    ],
)
def test_what_cloudevents_forbids_is_refused_at_its_place(
    application: Application, sender: Sender, event: Make, wrong: dict[str, Any], pointer: str
) -> None:
    problems = _problems(application, [event(**wrong)], sender)
    assert problems == [(0, 400, "event-invalid", pointer)]


def test_what_cloudevents_allows_is_taken(application: Application, sender: Sender, event: Make) -> None:
    binary = event("b", data_base64="eyJhIjoxfQ==")
    del binary["data"]
    picture = event("p", data_base64="AAEC", datacontenttype="image/png")
    del picture["data"]
    documents = [
        binary,
        picture,
        event("leap", time="2016-12-31T23:59:60Z"),
        event("extension", traceparent="00-ab", sampled=True, size=3, subject=None),
        event("backslash", data="\\u0000"),
    ]
    accepted = accept(application, documents, sender)
    assert accepted.rejected == []
    data = dict(Event.objects.values_list("event_id", "data"))
    assert data["b"] == {"a": 1} and data["p"] == "AAEC" and data["backslash"] == "\\u0000"


def test_a_large_or_deep_event_is_refused(application: Application, sender: Sender, event: Make) -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    problems = _problems(application, [event(data="x" * 70_000), event("2", data=deep)], sender)
    assert problems == [(0, 413, "event-too-large", ""), (1, 400, "event-invalid", "")]


def test_a_batch_has_from_one_to_a_thousand_events(
    application: Application, sender: Sender, event: Make
) -> None:
    with pytest.raises(BatchError) as empty:
        accept(application, [], sender)
    with pytest.raises(BatchError) as large:
        accept(application, [event()] * (BATCH_LIMIT + 1), sender)
    assert (empty.value.problem.status, large.value.problem.status) == (400, 413)


def test_a_full_batch_is_stored_by_one_statement(
    application: Application, sender: Sender, event: Make
) -> None:
    with CaptureQueriesContext(connection) as queries:
        accepted = accept(application, [event(str(number)) for number in range(BATCH_LIMIT)], sender)
    assert len(accepted.stored) == BATCH_LIMIT
    assert [query["sql"].partition(" ")[0] for query in queries] == ["SELECT", "INSERT"]


def test_a_lane_that_the_key_has_not_is_refused(application: Application, key: ApiKey, event: Make) -> None:
    EventType.objects.create(application=application, name="com.shop.alarm", lane="critical")
    problems = _problems(application, [event(type="com.shop.alarm")], Sender.key(key))
    assert problems == [(0, 403, "lane", "/type")]


def test_a_source_that_is_not_granted_is_refused(application: Application, key: ApiKey, event: Make) -> None:
    key.source_prefixes = ["/shop/"]
    documents = [event("1"), event("2", source="/bank/"), event("3", source="/subscribers/anna")]
    problems = _problems(application, documents, Sender.key(key))
    assert problems == [(1, 403, "event-source", "/source"), (2, 403, "event-source", "/source")]


def test_nobody_speaks_for_a_client_or_the_clock(
    application: Application, sender: Sender, event: Make
) -> None:
    problems = _problems(
        application, [event(source="/subscribers/anna"), event(source="/schedules/1")], sender
    )
    assert [problem[1] for problem in problems] == [403, 403]


def test_a_client_may_send_only_what_is_for_clients(
    application: Application, anna: Subscriber, event: Make
) -> None:
    assert _problems(application, [event()], Sender.client(anna)) == [(0, 403, "event-sender", "/type")]


def test_a_clients_source_and_subject_are_set_by_the_server(
    application: Application, shipped: EventType, anna: Subscriber, event: Make
) -> None:
    EventType.objects.filter(pk=shipped.pk).update(senders=["clients"])
    sent = event(source="/shop/orders", subject="ben")
    assert len(accept(application, [sent], Sender.client(anna)).stored) == 1
    stored = Event.objects.get()
    assert (stored.source, stored.subject, stored.sender) == ("/subscribers/anna", "anna", "clients")
    bare = {name: value for name, value in event("2").items() if name not in ("source", "subject")}
    assert len(accept(application, [bare], Sender.client(anna)).stored) == 1


@pytest.mark.parametrize("external_id", ["an na/ü", "ü" * 255])
def test_a_clients_source_is_a_uri_reference_that_fits(
    application: Application, shipped: EventType, event: Make, external_id: str
) -> None:
    EventType.objects.filter(pk=shipped.pk).update(senders=["clients"])
    person = Subscriber.objects.create(application=application, external_id=external_id)
    assert len(accept(application, [event()], Sender.client(person)).stored) == 1


def test_data_that_does_not_fit_the_schema_is_refused_at_its_place(
    application: Application, shipped: EventType, sender: Sender, event: Make
) -> None:
    schema = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
    EventType.objects.filter(pk=shipped.pk).update(schema=schema)
    documents = [event("1"), event("2", data={"order": "7"}), event("3", data={})]
    problems = _problems(application, documents, sender)
    assert problems == [(1, 400, "event-data", "/data/order"), (2, 400, "event-data", "/data")]


def test_a_schema_never_fetches_anything(
    application: Application, shipped: EventType, sender: Sender, event: Make
) -> None:
    EventType.objects.filter(pk=shipped.pk).update(schema={"$ref": "http://127.0.0.1:1/schema.json"})
    rejected = accept(application, [event()], sender).rejected
    assert "http://127.0.0.1:1/schema.json, which is not in it" in rejected[0].problem.detail


def test_what_an_event_brings_is_kept_as_it_came(
    application: Application, sender: Sender, event: Make
) -> None:
    data = {
        "large": 2**80,
        "small": -(2**70),
        "float": 0.1,
        "text": "é\u2028\U0001f600'\"\\",
        "deep": [{"a": [None]}],
    }
    accepted = accept(
        application, [event("one", data=data), event("two", data=None), event("three", data=[])], sender
    )
    assert len(accepted.stored) == 3
    kept = {row.event_id: row for row in Event.objects.all()}
    assert [kept[name].data for name in ("one", "two", "three")] == [data, None, []]
    assert set(Event.objects.values_list("uid", flat=True)) == set(accepted.stored)
