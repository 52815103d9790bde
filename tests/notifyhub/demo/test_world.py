from collections import Counter
from zoneinfo import available_timezones

import pytest

from notifyhub.demo import world


@pytest.fixture(scope="module")
def people():
    return list(world.people(5_000))


def test_the_same_seed_gives_the_same_people(people):
    assert list(world.people(100)) == people[:100]
    assert list(world.people(100, seed=2)) != people[:100]


def test_every_time_zone_is_one_of_the_persons_country(people):
    assert all(person.time_zone in world.zones()[person.country] for person in people)
    assert {person.time_zone for person in people} <= available_timezones()


def test_every_language_is_spoken_in_the_persons_country(people):
    for person in people:
        assert person.locale.removesuffix(f"-{person.country}") in dict(world.languages()[person.country])


def test_countries_come_about_as_often_as_their_people(people):
    counts = Counter(person.country for person in people)
    assert counts.most_common(2)[0][0] in ("IN", "CN")
    assert 0.12 < counts["IN"] / len(people) < 0.24
    assert len(counts) > 100


def test_every_fiftieth_has_not_consented(people):
    assert sum(not person.consent for person in people) == 100
