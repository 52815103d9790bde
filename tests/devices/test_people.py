"""A page of people is read in two queries and holds what the planner needs."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import people
from devices.models import Application, Category, Device, Preference, Subscriber


@pytest.fixture
def application(db: None) -> Application:
    application = Application.objects.create(name="Shop", slug="shop")
    other = Application.objects.create(name="Other", slug="other")
    for number in range(10):
        person = Subscriber.objects.create(
            application=application,
            external_id=f"p{number}",
            locale="de" if number % 2 else "en",
            attributes={"n": number},
            consent=number != 3,
        )
        Subscriber.objects.create(application=other, external_id=f"p{number}")
        for platform in ("tv", "web")[: number % 3]:
            Device.objects.create(
                application=application, subscriber=person, platform=platform, provider="socket"
            )
    return application


def names(page: list[people.Person]) -> list[str]:
    return [person.external_id for person in page]


def test_pages_follow_one_another_without_gap_or_repeat(application: Application) -> None:
    last = Subscriber.objects.latest("id").pk
    seen: list[str] = []
    cursor = 0
    while page := people.page_after(application.pk, cursor=cursor, last=last, limit=4):
        assert len(page) <= 4
        seen += names(page)
        cursor = page[-1].id
    assert seen == [f"p{number}" for number in range(10)]


def test_nobody_behind_the_frozen_last_id_is_read(application: Application) -> None:
    last = Subscriber.objects.get(application=application, external_id="p4").pk
    page = people.page_after(application.pk, cursor=0, last=last, limit=100)
    assert names(page) == ["p0", "p1", "p2", "p3", "p4"]


@pytest.mark.parametrize(
    "predicate", [None, {"locale": "de"}, {"all": [{"platform": "tv"}, {"attribute": "n", "above": 1}]}]
)
def test_a_page_takes_two_queries_without_offset_or_count(
    application: Application, predicate: object
) -> None:
    category = Category.objects.create(application=application, key="news", name="News")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = people.page_after(
            application.pk, cursor=0, last=10**9, limit=100, predicate=predicate, category_id=category.pk
        )
    assert page
    assert len(queries) == 2
    assert not any(word in query["sql"].upper() for query in queries for word in ("OFFSET", "COUNT("))


def test_a_person_holds_consent_preference_attributes_and_active_devices(application: Application) -> None:
    category = Category.objects.create(application=application, key="news", name="News")
    p2, p3 = (Subscriber.objects.get(application=application, external_id=name) for name in ("p2", "p3"))
    Preference.objects.create(subscriber=p2, category=category, allowed=False)
    Preference.objects.create(
        subscriber=p3,
        category=Category.objects.create(application=application, key="x", name="X"),
        allowed=False,
    )
    gone = Device.objects.create(
        application=application, subscriber=p2, platform="ios", provider="apns", token="t", sandbox=True
    )
    second, third = people.named(application.pk, [p3.pk, p2.pk], category.pk)
    assert (second.external_id, second.allowed, second.consent) == ("p2", False, True)
    assert second.uid == p2.uid.bytes and second.known() == {"n": 2}
    assert [(t.platform, t.sandbox) for t in second.devices] == [("tv", False), ("web", False), ("ios", True)]
    assert second.devices[2].uid == gone.uid.bytes and second.devices[2].token == "t"
    assert (third.external_id, third.allowed, third.consent, third.devices) == ("p3", None, False, [])
    Device.objects.filter(pk=gone.pk).update(state="retired")
    assert len(people.named(application.pk, [p2.pk])[0].devices) == 2


@pytest.mark.parametrize("some", [0, people.FEW + 5])
def test_named_people_are_the_same_however_many_are_read_with_them(
    application: Application, some: int
) -> None:
    rows = Subscriber.objects.bulk_create(
        Subscriber(application=application, external_id=f"n{number}") for number in range(some + 3)
    )
    for number, person in enumerate(rows[:3]):
        for _ in range(number):
            Device.objects.create(
                application=application, subscriber=person, platform="tv", provider="socket"
            )
    found = people.named(application.pk, [row.pk for row in reversed(rows)])
    assert [person.id for person in found] == [row.pk for row in rows]
    assert [len(person.devices) for person in found] == [0, 1, 2] + [0] * some


def test_device_conditions_choose_people_and_their_devices(application: Application) -> None:
    page = people.page_after(application.pk, cursor=0, last=10**9, limit=100, predicate={"platform": "web"})
    assert names(page) == ["p2", "p5", "p8"]
    assert {target.platform for person in page for target in person.devices} == {"web"}


def test_another_applications_people_are_never_named(application: Application) -> None:
    strangers = Subscriber.objects.exclude(application=application).values_list("pk", flat=True)
    assert people.named(application.pk, strangers) == []
    assert people.named(application.pk, []) == []
