"""Facts are counted when a segment asks for them, once each, and segments ask them."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import facts, people, segments
from devices.models import Application, Fact, FactKind, Segment, Subscriber

BOUGHT = {"event": "bought", "at_least": 2, "within_days": 7}


@pytest.fixture
def application(db: None) -> Application:
    facts.forget_kinds()
    application = Application.objects.create(name="Shop", slug="shop")
    Application.objects.create(name="Other", slug="other")
    for name in ("ada", "bob", "cyd"):
        Subscriber.objects.create(application=application, external_id=name)
    return application


def of(name: str) -> int:
    return Subscriber.objects.get(external_id=name).pk


def chosen(application: Application, predicate: Any) -> str:
    found = segments.subscribers(application, predicate).order_by("external_id")
    listed = " ".join(found.values_list("external_id", flat=True))
    page = people.page_after(application.pk, cursor=0, last=2**40, limit=9, predicate=predicate)
    assert " ".join(person.external_id for person in page) == listed
    return listed


def test_nothing_is_counted_that_no_segment_asks_for(application: Application) -> None:
    facts.count(application.pk, facts.event("bought"), [of("ada")])
    assert not Fact.objects.exists()


def test_behaviour_is_counted_by_day_from_when_a_segment_asks(application: Application) -> None:
    Segment.objects.create(application=application, name="Buyers", predicate=BOUGHT)
    for _ in range(2):
        facts.count(application.pk, facts.event("bought"), [of("ada"), of("bob"), of("ada")])
    kind = facts.wanted(application.pk)[facts.event("bought")]
    facts.add(Counter({(of("cyd"), kind): 5}), day=timezone.now().date() - timedelta(days=7))
    facts.add(Counter({(of("bob"), kind): 1}), day=timezone.now().date() - timedelta(days=6))
    assert dict(Fact.objects.filter(day=timezone.now().date()).values_list("subscriber_id", "count")) == {
        of("ada"): 4,
        of("bob"): 2,
    }
    assert chosen(application, BOUGHT) == "ada bob"
    assert chosen(application, {"event": "bought", "within_days": 8}) == "ada bob cyd"
    assert chosen(application, {"event": "bought", "at_least": 4, "within_days": 7}) == "ada"
    assert chosen(application, {"event": "bought", "at_most": 0, "within_days": 7}) == "cyd"
    assert chosen(application, {"event": "bought", "at_least": 1, "at_most": 3, "within_days": 7}) == "bob"
    assert chosen(application, {"not": BOUGHT}) == "cyd"
    assert chosen(application, {"event": "other", "within_days": 7}) == ""
    other = Application.objects.get(slug="other")
    assert chosen(other, {"event": "bought", "at_most": 0, "within_days": 7}) == ""


def test_what_no_segment_asks_for_any_more_is_not_counted(application: Application) -> None:
    segment = Segment.objects.create(application=application, name="Buyers", predicate=BOUGHT)
    segment.predicate = {"opened": {"within_days": 3}}
    segment.save()
    assert list(facts.wanted(application.pk)) == ["opened"]
    segment.delete()
    assert not facts.wanted(application.pk) and FactKind.objects.count() == 2


def test_many_facts_are_one_statement_for_five_hundred(application: Application) -> None:
    Segment.objects.create(
        application=application, name="Readers", predicate={"received": {"within_days": 1}}
    )
    facts.wanted(application.pk)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        facts.count(application.pk, facts.RECEIVED, [of("ada")])
    assert len(queries) == 2  # one of them is this test's own


def test_facts_older_than_a_year_are_forgotten(application: Application) -> None:
    Segment.objects.create(
        application=application, name="Readers", predicate={"received": {"within_days": 1}}
    )
    kind = facts.wanted(application.pk)["received"]
    today = timezone.now().date()
    facts.add(Counter({(of("ada"), kind): 1}), day=today - timedelta(days=366))
    facts.add(Counter({(of("ada"), kind): 1}), day=today - timedelta(days=364))
    assert facts.forget() == 1 and Fact.objects.count() == 1


def test_a_subscribers_facts_and_places_on_lists_go_with_them(application: Application) -> None:
    fixed = Segment.objects.create(application=application, name="Fixed", is_static=True)
    fixed.members.create(subscriber_id=of("ada"))
    Segment.objects.create(application=application, name="Buyers", predicate=BOUGHT)
    facts.count(application.pk, facts.event("bought"), [of("ada"), of("bob")])
    Subscriber.objects.get(external_id="ada").delete()
    assert list(Fact.objects.values_list("subscriber__external_id", flat=True)) == ["bob"]
    assert fixed.members.count() == 0
