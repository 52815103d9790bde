"""A segment's answer about one subscriber names the conditions it fails for, and agrees with the segment."""

from typing import Any

import pytest

from devices import segments
from devices.explaining import explain
from devices.models import Application, Device, Subscriber

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(db: None) -> Subscriber:
    application = Application.objects.create(name="Shop", slug="shop", locale="fr", time_zone="Europe/Paris")
    made = Subscriber.objects.create(
        application=application, external_id="ada", attributes={"plan": "free", "orders": 3}
    )
    Device.objects.create(
        application=application, subscriber=made, platform="android", provider="fcm", app_version="1.5"
    )
    return made


@pytest.mark.parametrize(
    ("predicate", "failing"),
    [
        (None, []),
        ({"attribute": "plan", "is": "free"}, []),
        ({"attribute": "plan", "is": "pro"}, ['“plan” is "pro" is asked for, and it is "free"']),
        ({"attribute": "vip", "is": True}, ["“vip” is true is asked for, and it is not set"]),
        ({"attribute": "orders", "above": 5}, ["“orders” is above 5 is asked for, and it is 3"]),
        ({"attribute": "orders", "in": [1, 2]}, ["“orders” is one of 1, 2 is asked for, and it is 3"]),
        ({"locale": "de"}, ['the language is "de" is asked for, and it is "fr", the application\'s']),
        ({"platform": "tv"}, ['an active device whose platform is "tv" is asked for']),
        (
            {"all": [{"platform": "android"}, {"app_version": {"above": "2.0"}}, {"locale": "fr"}]},
            ['an active device whose platform is "android" and app version is above "2.0" is asked for'],
        ),
        (
            {"all": [{"device_locale": "de"}, {"device_time_zone": "Asia/Tokyo"}]},
            ['an active device whose language is "de" and time zone is "Asia/Tokyo" is asked for'],
        ),
        (
            {"any": [{"platform": "ios"}, {"attribute": "plan", "is": "pro"}]},
            [
                'an active device whose platform is "ios" is asked for',
                '“plan” is "pro" is asked for, and it is "free"',
            ],
        ),
        ({"any": [{"platform": "ios"}, {"attribute": "plan", "is": "free"}]}, []),
        (
            {"all": [{"locale": "fr"}, {"not": {"any": [{"platform": "android"}, {"platform": "tv"}]}}]},
            [
                'not (an active device whose platform is "android" or an active device whose platform is "tv")'
                " is asked for"
            ],
        ),
        ({"not": {"attribute": "plan", "is": "pro"}}, []),
    ],
)
def test_it_names_the_conditions_that_fail_and_agrees_with_the_segment(
    ada: Subscriber, predicate: Any, failing: list[str], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        answer = explain(predicate, ada)
    assert [leaf.sentence for leaf in answer.failing] == failing
    assert answer.member is segments.subscribers(ada.application, predicate).filter(pk=ada.pk).exists()
    assert answer.member is (not failing)


def test_every_condition_is_told_with_whether_it_is_met(ada: Subscriber) -> None:
    answer = explain({"all": [{"attribute": "plan", "is": "pro"}, {"locale": "fr"}]}, ada)
    assert [(leaf.condition, leaf.met) for leaf in answer.leaves] == [
        ('“plan” is "pro"', False),
        ('the language is "fr"', True),
    ]


def test_a_long_list_is_cut(ada: Subscriber) -> None:
    [leaf] = explain({"external_id": {"in": [f"s{n}" for n in range(50)]}}, ada).failing
    assert leaf.condition.endswith('"s3", "s4" and 45 more') and leaf.found == '"ada"'
