"""Who is online, since when, on which node, by the API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from redis.exceptions import ConnectionError as RedisConnectionError

from delivery import presence
from delivery.api.presence import MOST
from devices.models import Device, Subscriber
from tests.api_world import World

Held = dict[bytes, list[presence.Held]]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Who holds which device, for a test to say."""
    found: Held = {}
    monkeypatch.setattr(presence, "online", lambda asked: [found.get(one, []) for one in asked])
    return found


def test_each_devices_nodes_are_told_with_since_when(shop: World, held: Held) -> None:
    name = shop.subscriber.external_id
    other = Device.objects.create(
        application=shop.application, subscriber=shop.subscriber, platform="tv", provider="socket"
    )
    held[other.uid.bytes] = [presence.Held("b", 1_700_000_060.5), presence.Held("a", 1_700_000_000)]
    answer = shop.service("GET", f"presence?subscriber={name}&subscriber=nobody&subscriber={name}")
    assert answer.status_code == 200
    (item,) = answer.json()["items"]
    assert (item["subscriber"], item["online"], answer.json()["unknown"]) == (name, True, ["nobody"])
    devices = {one["id"]: one for one in item["devices"]}
    assert not devices[str(shop.device.uid)]["online"] and devices[str(shop.device.uid)]["nodes"] == []
    assert devices[str(other.uid)]["nodes"] == [
        {"node": "a", "since": "2023-11-14T22:13:20Z"},
        {"node": "b", "since": "2023-11-14T22:14:20.500000Z"},
    ]


def test_another_applications_people_are_unknown(shop: World, bank: World, held: Held) -> None:
    held[bank.device.uid.bytes] = [presence.Held("a", 1.0)]
    name = bank.subscriber.external_id
    assert shop.service("GET", f"presence?subscriber={name}").json() == {"items": [], "unknown": [name]}


def test_the_questions_do_not_grow_with_those_asked_about(shop: World, held: Held) -> None:
    people = Subscriber.objects.bulk_create(
        Subscriber(application=shop.application, external_id=f"p{number}") for number in range(MOST)
    )
    Device.objects.bulk_create(
        Device(application=shop.application, subscriber=one, platform="web", provider="socket")
        for one in people
    )
    counts = []
    for count in (1, MOST):
        asked = "&".join(f"subscriber=p{number}" for number in range(count))
        with CaptureQueriesContext(connection) as queries:
            assert len(shop.service("GET", f"presence?{asked}").json()["items"]) == count
        counts.append(len(queries))
    assert counts[0] >= counts[1]


def test_a_device_asks_about_its_own_subscriber_and_nobody_else(shop: World, held: Held) -> None:
    stranger = Subscriber.objects.create(application=shop.application, external_id="stranger")
    held[shop.device.uid.bytes] = [presence.Held("a", 1.0)]
    for query in ("", f"?subscriber={stranger.external_id}"):
        answer = shop.app()("GET", f"presence{query}").json()
        assert [one["subscriber"] for one in answer["items"]] == [shop.subscriber.external_id]
        assert answer["items"][0]["online"] and answer["unknown"] == []


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_how_many_may_be_asked_about_is_said(shop: World, count: int) -> None:
    answer = shop.service("GET", "presence?" + "&".join(f"subscriber={number}" for number in range(count)))
    assert answer.status_code == 400 and str(MOST) in answer.json()["detail"]


def test_without_redis_it_says_so(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(presence, "online", away)
    answer = shop.service("GET", f"presence?subscriber={shop.subscriber.external_id}")
    assert answer.status_code == 503 and "Redis" in answer.json()["detail"]
