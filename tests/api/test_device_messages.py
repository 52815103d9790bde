"""What a device says to the others of its subscriber, by the API; the node's part is in tests/delivery/node."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from delivery import device_messages
from devices.models import Device
from tests.api.test_problems import problem
from tests.api_world import World

Sent = list[tuple[UUID, list[UUID], Any]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found: Sent = []

    def send(source: UUID, targets: list[UUID], data: Any) -> list[bool]:
        found.append((source, targets, data))
        return [number == 0 for number in range(len(targets))]

    monkeypatch.setattr(device_messages, "send", send)
    return found


def tv(world: World, **more: Any) -> Device:
    given = {"subscriber": world.subscriber, "platform": "tv", "provider": "socket", **more}
    return Device.objects.create(application=world.application, **given)


def test_all_the_others_or_one_of_them_are_told(shop: World, sent: Sent) -> None:
    first, second = tv(shop), tv(shop)
    tv(shop, state=Device.State.RETIRED)
    answer = shop.app()("POST", "device-messages", {"data": {"play": 7}})
    assert answer.status_code == 202
    assert answer.json() == {
        "devices": [
            {"id": str(first.uid), "platform": "tv", "online": True},
            {"id": str(second.uid), "platform": "tv", "online": False},
        ]
    }
    shop.app()("POST", "device-messages", {"to": str(second.uid), "data": "stop"})
    assert sent == [
        (shop.device.uid, [first.uid, second.uid], {"play": 7}),
        (shop.device.uid, [second.uid], "stop"),
    ]


def test_nobody_elses_device_is_a_target(shop: World, bank: World, sent: Sent) -> None:
    for stranger in (bank.device.uid, uuid4(), shop.device.uid):
        answer = shop.app()("POST", "device-messages", {"to": str(stranger), "data": 1})
        problem(answer, 404, "not-found")
    assert not sent
    problem(shop.service("POST", "device-messages", {"data": 1}), 401, "not-authenticated")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/data"),
        ({"data": "x" * 4_095}, "/data"),
        ({"data": 1, "to": "tv"}, "/to"),
        ({"data": 1, "too": "tv"}, "/too"),
    ],
)
def test_a_wrong_message_is_refused_with_its_place(
    shop: World, sent: Sent, body: dict[str, Any], pointer: str
) -> None:
    answer = shop.app()("POST", "device-messages", body)
    assert answer.status_code == 400 and answer.json()["errors"][0]["pointer"] == pointer, answer.json()
    assert not sent


@pytest.mark.parametrize(
    ("error", "status"), [(device_messages.TooManyError(7), 429), (RedisConnectionError(), 503)]
)
def test_who_says_too_much_or_when_redis_is_away_is_told(
    shop: World, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def send(*given: Any) -> None:
        raise error

    monkeypatch.setattr(device_messages, "send", send)
    answer = shop.app()("POST", "device-messages", {"data": 1})
    assert answer.status_code == status
    assert status != 429 or answer.headers["Retry-After"] == "8"
