"""Segments inside segments: put in their places, never in a circle, and not deleted while used."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError

from devices import nesting, segments
from devices.models import Application, Segment, SegmentMember, Subscriber


@pytest.fixture
def application(db: None) -> Application:
    application = Application.objects.create(name="Shop", slug="shop")
    for name, plan in (("ada", "pro"), ("bob", "free"), ("cyd", "pro")):
        Subscriber.objects.create(application=application, external_id=name, attributes={"plan": plan})
    return application


def segment(application: Application, name: str, predicate: Any = None, **fields: Any) -> Segment:
    return Segment.objects.create(application=application, name=name, predicate=predicate, **fields)


def inside(*others: Segment) -> Any:
    return {"any": [{"segment": str(other.uid)} for other in others]}


def chosen(application: Application, predicate: Any) -> str:
    found = segments.subscribers(application, predicate).order_by("external_id")
    return " ".join(found.values_list("external_id", flat=True))


def test_a_segment_in_a_segment_is_put_in_its_place(application: Application) -> None:
    pro = segment(application, "Pro", {"attribute": "plan", "is": "pro"})
    rest = segment(application, "Rest", {"not": {"segment": str(pro.uid)}})
    assert rest.whole == {"not": {"attribute": "plan", "is": "pro"}}
    assert chosen(application, {"segment": str(rest.uid)}) == "bob"
    pro.predicate = {"attribute": "plan", "is": "free"}
    pro.save()
    assert chosen(application, rest.predicate) == "ada cyd"


def test_a_circle_is_refused_with_the_way_round(application: Application) -> None:
    one = segment(application, "One", {"locale": "de"})
    two = segment(application, "Two", inside(one))
    three = segment(application, "Three", inside(two))
    one.predicate = inside(three)
    with pytest.raises(ValidationError, match="“One” → “Three” → “Two” → “One”"):
        one.save()
    one.predicate = {"not": {"segment": str(one.uid)}}
    with pytest.raises(ValidationError, match="At /not/segment: a segment cannot stand in itself"):
        one.save()


def test_segments_stand_five_deep_at_most_and_come_to_five_hundred_conditions(
    application: Application,
) -> None:
    inner = segment(application, "0", {"locale": "de"})
    for number in range(1, nesting.MAX_NESTING):
        inner = segment(application, str(number), inside(inner))
    with pytest.raises(ValidationError, match="at most 5 deep"):
        segment(application, "too deep", inside(inner))
    wide = segment(application, "wide", {"any": [{"locale": "de"}] * 99})
    with pytest.raises(ValidationError, match="at most 500"):
        segment(application, "too wide", inside(*[wide] * 6))


def test_a_segment_of_another_application_is_not_there(application: Application) -> None:
    other = Application.objects.create(name="Other", slug="other")
    theirs = segment(other, "Theirs", {"locale": "de"})
    with pytest.raises(ValidationError, match="At /any/0/segment: there is no segment"):
        segment(application, "Mine", inside(theirs))


def test_a_segment_that_is_used_is_not_deleted(application: Application) -> None:
    pro = segment(application, "Pro", {"attribute": "plan", "is": "pro"})
    rest = segment(application, "Rest", {"not": {"segment": str(pro.uid)}})
    with pytest.raises(ProtectedError):
        pro.delete()
    rest.predicate = {"locale": "de"}
    rest.save()
    pro.delete()


def test_a_list_is_read_as_it_is_now(application: Application) -> None:
    fixed = segment(application, "Fixed", is_static=True)
    whole = segment(application, "Not on it", {"not": {"segment": str(fixed.uid)}}).whole
    assert chosen(application, whole) == "ada bob cyd"
    SegmentMember.objects.create(segment=fixed, subscriber=Subscriber.objects.get(external_id="bob"))
    assert chosen(application, whole) == "ada cyd"
    assert chosen(application, fixed.whole) == "bob"
