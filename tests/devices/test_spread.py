"""Some people who stand for all: everybody of few, and of many those that lie evenly among all."""

import pytest

from devices import people
from devices.models import Application, Subscriber


@pytest.fixture
def app(db: None) -> Application:
    return Application.objects.create(name="Shop", slug="shop")


def crowd(app: Application, count: int) -> list[int]:
    Subscriber.objects.bulk_create(
        Subscriber(application=app, external_id=f"{app.slug}{number}") for number in range(count)
    )
    return list(Subscriber.objects.filter(application=app).order_by("pk").values_list("pk", flat=True))


def test_few_are_all_there_and_nobody_of_another_application(app: Application) -> None:
    assert people.spread(app.pk, 100) == []
    crowd(Application.objects.create(name="Other", slug="other"), 50)
    mine = crowd(app, 100)
    assert people.spread(app.pk, 100) == mine


def test_many_are_taken_from_the_oldest_to_the_newest(app: Application) -> None:
    everybody = crowd(app, 1_000)
    some = people.spread(app.pk, 200)
    assert len(some) == 200 and some == sorted(some) and set(some) <= set(everybody)
    for start in range(0, 1_000, 250):
        assert len(set(some) & set(everybody[start : start + 250])) == 50
