"""Segments choose the same people on every database, and say what is wrong with a predicate."""

from typing import Any

import pytest

from devices import segments
from devices.models import Application, Device, Subscriber

PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {
        "locale": "de",
        "time_zone": "Europe/Berlin",
        "attributes": {"plan": "pro", "points": 120, "vip": True},
    },
    "bob": {"locale": "de-AT", "attributes": {"plan": "free", "points": "900", "tags": ["sport", "news"]}},
    "cyd": {"locale": "", "attributes": {"plan": None, "points": 3.5, "vip": 1, "tags": "sports"}},
    "dan": {"locale": "den", "attributes": {"a b.c": "x", "größe": 4, "tags": [True, 5, None]}},
    "eve": {"locale": "pt-BR", "attributes": {}},
}
DEVICES = {
    "ada": [("tv", "1.9", "de-AT", "Europe/Vienna"), ("android", "10.1", "en", "Asia/Tokyo")],
    "bob": [("tv", "10.0", "den", "")],
    "cyd": [("ios", "", "DE", "Asia/Tokyo")],
    "dan": [("web", "2.0.0", "", "")],
}


@pytest.fixture
def application(db: None) -> Application:
    application = Application.objects.create(name="Shop", slug="shop", locale="de", time_zone="Europe/Berlin")
    other = Application.objects.create(name="Other", slug="other", locale="de")
    Subscriber.objects.create(
        application=other, external_id="stranger", locale="de", attributes={"plan": "pro"}
    )
    for name, fields in PEOPLE.items():
        person = Subscriber.objects.create(application=application, external_id=name, **fields)
        for platform, version, locale, zone in DEVICES.get(name, []):
            Device.objects.create(
                application=application,
                subscriber=person,
                platform=platform,
                provider="socket",
                app_version=version,
                locale=locale,
                time_zone=zone,
            )
    retired = Subscriber.objects.get(external_id="eve")
    Device.objects.create(
        application=application,
        subscriber=retired,
        platform="tv",
        provider="socket",
        state="retired",
        locale="de",
        time_zone="Asia/Tokyo",
    )
    return application


@pytest.mark.parametrize(
    ("predicate", "chosen"),
    [
        (None, "ada bob cyd dan eve"),
        ({"locale": "de"}, "ada bob cyd"),
        ({"locale": "de_AT"}, "bob"),
        ({"locale": ["pt", "de-AT"]}, "bob eve"),
        ({"time_zone": "Europe/Berlin"}, "ada bob cyd dan eve"),
        ({"external_id": {"in": ["ada", "eve", "stranger"]}}, "ada eve"),
        ({"external_id": "bob"}, "bob"),
        ({"attribute": "plan", "is": "pro"}, "ada"),
        ({"not": {"attribute": "plan", "is": "pro"}}, "bob cyd dan eve"),
        ({"attribute": "plan", "is": None}, "cyd"),
        ({"attribute": "plan", "exists": True}, "ada bob cyd"),
        ({"attribute": "plan", "exists": False}, "dan eve"),
        ({"attribute": "plan", "in": ["pro", "free", None]}, "ada bob cyd"),
        ({"attribute": "points", "above": 3}, "ada cyd"),
        ({"attribute": "points", "below": 120}, "cyd"),
        ({"not": {"attribute": "points", "above": 3}}, "bob dan eve"),
        ({"attribute": "vip", "is": True}, "ada"),
        ({"attribute": "vip", "is": 1}, "cyd"),
        ({"attribute": "vip", "in": [1, True]}, "ada cyd"),
        ({"attribute": "points", "is": 3.5}, "cyd"),
        ({"attribute": "points", "is": "900"}, "bob"),
        ({"attribute": "a b.c", "is": "x"}, "dan"),
        ({"attribute": "größe", "is": 4}, "dan"),
        ({"attribute": "größe", "above": 3}, "dan"),
        ({"attribute": "tags", "contains": "sport"}, "bob cyd"),
        ({"attribute": "tags", "contains": 5}, "dan"),
        ({"attribute": "tags", "contains": True}, "dan"),
        ({"attribute": "tags", "contains": None}, "dan"),
        ({"attribute": "tags", "contains": 1}, ""),
        ({"not": {"attribute": "tags", "contains": "sport"}}, "ada dan eve"),
        ({"tag": "sport"}, "bob cyd"),
        ({"tag": ["news", "nothing"]}, "bob"),
        ({"created": {"within_days": 1}}, "ada bob cyd dan eve"),
        ({"created": {"before_days": 1}}, ""),
        ({"last_seen": {"within_days": 2}}, "ada bob cyd dan"),
        ({"provider": "fcm"}, ""),
        ({"provider": ["fcm", "socket"]}, "ada bob cyd dan"),
        ({"platform": "tv"}, "ada bob"),
        ({"not": {"platform": "tv"}}, "cyd dan eve"),
        ({"app_version": {"below": "2.0"}}, "ada"),
        ({"app_version": {"above": "2"}}, "ada bob"),
        ({"app_version": "2"}, "dan"),
        ({"all": [{"platform": "tv"}, {"app_version": {"above": "2.0"}}]}, "bob"),
        ({"device_locale": "de"}, "ada cyd"),
        ({"device_locale": "de_AT"}, "ada"),
        ({"device_locale": ["en", "den"]}, "ada bob"),
        ({"not": {"device_locale": "de"}}, "bob dan eve"),
        ({"device_time_zone": "Asia/Tokyo"}, "ada cyd"),
        ({"device_time_zone": ["Europe/Vienna", "UTC"]}, "ada"),
        ({"all": [{"device_locale": "de"}, {"device_time_zone": "Asia/Tokyo"}]}, "cyd"),
        ({"all": [{"device_locale": "de"}, {"platform": "tv"}, {"locale": "de"}]}, "ada"),
        ({"any": [{"platform": "ios"}, {"attribute": "plan", "is": "free"}]}, "bob cyd"),
        ({"all": [{"platform": ["tv", "ios"]}, {"not": {"locale": "de"}}]}, ""),
    ],
)
def test_a_predicate_chooses_people(application: Application, predicate: Any, chosen: str) -> None:
    found = segments.subscribers(application, predicate).values_list("external_id", flat=True)
    assert sorted(found) == chosen.split()


@pytest.mark.parametrize(
    ("predicate", "platforms"),
    [
        (None, None),
        ({"locale": "de"}, None),
        ({"platform": "tv"}, {"tv"}),
        ({"all": [{"platform": ["tv", "web"]}, {"locale": "de"}]}, {"tv", "web"}),
        ({"any": [{"platform": "tv"}, {"locale": "de"}]}, None),
        ({"not": {"platform": "tv"}}, {"android", "ios", "web", "stick"}),
        ({"not": {"all": [{"platform": "tv"}, {"locale": "de"}]}}, None),
        ({"all": [{"platform": "tv"}, {"platform": "web"}]}, set()),
    ],
)
def test_device_conditions_choose_platforms(predicate: Any, platforms: set[str] | None) -> None:
    assert segments.device_platforms(predicate) == platforms


@pytest.mark.parametrize(
    ("predicate", "chosen"),
    [
        ({"locale": "de"}, 5),
        ({"platform": "tv"}, 2),
        ({"all": [{"platform": "tv"}, {"app_version": {"above": "2"}}, {"locale": "de"}]}, 1),
        ({"not": {"any": [{"platform": "tv"}, {"platform": "web"}]}}, 2),
        ({"not": {"not": {"platform": "web"}}}, 1),
        ({"device_locale": "de"}, 2),
        ({"all": [{"device_time_zone": "Asia/Tokyo"}, {"locale": "de"}]}, 2),
        ({"not": {"device_locale": "de"}}, 3),
        ({"any": [{"platform": "tv"}, {"locale": "de"}]}, 5),
        ({"not": {"all": [{"platform": "tv"}, {"locale": "de"}]}}, 5),
        ({"not": {"any": [{"platform": "tv"}, {"locale": "de"}]}}, 3),
    ],
)
def test_device_conditions_choose_devices(application: Application, predicate: Any, chosen: int) -> None:
    assert Device.objects.filter(segments.devices_q(predicate), state="active").count() == chosen


@pytest.mark.parametrize(
    ("predicate", "message"),
    [
        ([], "At the top: write an object"),
        ({}, "At the top: write an object"),
        ({"all": []}, "At /all: write a list of at least one"),
        ({"plattform": "tv"}, "At /plattform: “plattform” is not known; did you mean “platform”?"),
        ({"all": [{"platform": "tvv"}]}, "At /all/0/platform: “tvv” is not known; did you mean “tv”?"),
        ({"platform": ["tv", 3]}, "At /platform/1: write a text"),
        ({"attribute": "plan"}, "exactly one of “is”, “in”"),
        ({"attribute": "plan", "is": 1, "in": [1]}, "exactly one of"),
        ({"attribute": "plan", "abov": 1}, "did you mean “above”?"),
        ({"attribute": "plan", "above": "1"}, "At /above: write a number"),
        ({"attribute": "plan", "above": True}, "At /above: write a number"),
        ({"attribute": "plan", "exists": 1}, "true or false"),
        ({"attribute": "plan", "is": {}}, "At /is: write a text, a number"),
        ({"attribute": "plan", "in": ["a", []]}, "At /in/1: write a text, a number"),
        ({"attribute": "0", "is": 1}, "At /attribute: an attribute's name"),
        ({"attribute": 'a"b', "is": 1}, "At /attribute: an attribute's name"),
        ({"locale": ""}, "At /locale: write a text"),
        ({"locale": "de", "platform": "tv"}, "one key an object"),
        ({"app_version": {"below": "latest"}}, "At /app_version/below: write a version"),
        ({"external_id": {"in": ["x"] * 1001}}, "1 to 1000 values"),
        ({"a/b~c": 1}, "At /a~1b~0c:"),
        ({"event": "x"}, "At the top: say in how many of the last days"),
        ({"event": "", "within_days": 1}, "At /event: write an event type's name"),
        ({"all": [{"opened": {"within_days": 366}}]}, "At /all/0/opened/within_days: write a whole number"),
        ({"opened": {"within_days": True}}, "At /opened/within_days: write a whole number"),
        ({"opened": {"at_least": 0, "within_days": 1}}, "At /opened/at_least: write a whole number from 1"),
        ({"opened": {"at_least": 3, "at_most": 2, "within_days": 1}}, "at least 3 times and at most 2"),
        ({"received": {"at_lest": 1, "within_days": 1}}, "did you mean “at_least”?"),
        ({"received": 3}, "At /received: write an object such as"),
        ({"segment": "VIPs"}, "At /segment: write a segment's id"),
        ({"segment": ["a"]}, "At /segment: segment takes one value"),
        ({"provider": "gcm"}, "At /provider: “gcm” is not known; did you mean “fcm”?"),
        ({"device_locale": {"above": "de"}}, "At /device_locale/above: “above” is not known"),
        ({"device_time_zone": ""}, "At /device_time_zone: write a text of 1 to 255"),
        ({"time_zone": "Europe/Berln"}, "At /time_zone: “Europe/Berln” is no IANA time zone"),
        ({"device_time_zone": ["UTC", "Mars"]}, "At /device_time_zone/1: “Mars” is no IANA time zone"),
        ({"device_local": "de"}, "did you mean “device_locale”?"),
        ({"last_seen": 3}, "At /last_seen: last_seen is compared by exactly one of"),
        ({"created": {"within_days": 0}}, "At /created/within_days: write a whole number from 1 to 365"),
        ({"tag": ""}, "At /tag: write a text"),
    ],
)
def test_a_wrong_predicate_is_refused_with_its_place(predicate: Any, message: str) -> None:
    with pytest.raises(segments.PredicateError) as error:
        segments.parse(predicate)
    assert message in str(error.value)


def test_a_zone_that_the_time_zone_database_has_lost_keeps_nobody_from_a_saved_segment() -> None:
    assert segments.parse({"time_zone": "US/Pacific-New"}, whole=True) is not None


def test_a_predicate_is_at_most_eight_deep_and_of_a_hundred_nodes() -> None:
    deep: Any = {"locale": "de"}
    for _ in range(7):
        deep = {"not": deep}
    segments.parse(deep)
    with pytest.raises(segments.PredicateError, match="8 deep"):
        segments.parse({"not": deep})
    segments.parse({"any": [{"locale": "de"}] * 99})
    with pytest.raises(segments.PredicateError, match="at most 100"):
        segments.parse({"any": [{"locale": "de"}] * 100})
