"""Learning the best hour: by the person's own clock, in a few bytes, in as many statements whoever opens."""

from collections import Counter
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from devices import best_hours
from devices.models import Application, Device, OpenHours, Subscriber

MONDAY = datetime.fromisoformat("2026-06-15T00:00:00+00:00").timestamp()


@pytest.fixture
def shop(db: None) -> Application:
    best_hours.forget()
    return Application.objects.create(name="Shop", slug="shop", time_zone="Europe/Berlin")


def hour_of(person: Subscriber) -> int:
    person.refresh_from_db()
    return person.best_hour


def test_an_hour_is_learned_on_the_clock_of_the_person(shop: Application) -> None:
    eva = Subscriber.objects.create(application=shop, external_id="eva")
    tom = Subscriber.objects.create(application=shop, external_id="tom", time_zone="Asia/Tokyo")
    Device.objects.create(
        application=shop,
        subscriber=tom,
        platform="ios",
        provider="apns",
        token="t",
        time_zone="America/New_York",
    )
    at = MONDAY + 17 * 3_600
    best_hours.learn([(eva.uid, at), (eva.uid, at + 86_400), (tom.uid, at)])
    assert (hour_of(eva), hour_of(tom)) == (-1, -1)
    best_hours.learn([(eva.uid, at), (tom.uid, at), (tom.uid, at)])
    assert (hour_of(eva), hour_of(tom)) == (19, 13)


def test_new_habits_win() -> None:
    counts = best_hours.added([], Counter({8: 150}), most=best_hours.MOST)
    for _ in range(20):
        counts = best_hours.added(counts, Counter({21: 20}), most=best_hours.MOST)
    assert best_hours.best(counts, least=best_hours.LEAST) == 21


@given(st.lists(st.dictionaries(st.integers(0, 23), st.integers(1, 500), max_size=5), max_size=8))
def test_counts_always_fit_their_bytes(opens: list[dict[int, int]]) -> None:
    counts: list[int] = []
    for some in opens:
        counts = best_hours.added(counts, Counter(some), most=best_hours.MOST)
        assert len(bytes(counts)) == 24
        assert -1 <= best_hours.best(counts, least=best_hours.LEAST) < 24


def test_few_opens_of_many_people_make_the_applications_hour(shop: Application) -> None:
    people = [Subscriber.objects.create(application=shop, external_id=f"s{n}") for n in range(100)]
    best_hours.learn([(one.uid, MONDAY + 6 * 3_600) for one in people[:99]])
    assert best_hours.of_application(shop.pk) == -1
    best_hours.forget()
    best_hours.learn([(people[99].uid, MONDAY + 6 * 3_600)])
    assert best_hours.of_application(shop.pk) == 8
    assert OpenHours.objects.count() == 100


def test_learning_costs_the_same_whoever_opens(shop: Application) -> None:
    people = [Subscriber.objects.create(application=shop, external_id=f"s{n}") for n in range(60)]

    def cost(count: int) -> int:
        with CaptureQueriesContext(connection) as seen:
            best_hours.learn([(one.uid, MONDAY) for one in people[:count] for _ in range(3)])
        return len(seen)

    assert cost(5) >= cost(60)
