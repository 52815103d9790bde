"""People, keys, event types, campaigns and rules that the tests of this room begin with."""

import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from campaigns import launching, rulebook
from campaigns.intake import Sender, accept
from campaigns.models import Campaign, Event, EventType, Rule
from delivery import bell, dbclock
from devices import short_memory
from devices.models import ApiKey, Application, Subscriber


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was rung for, instead of a broker; rules are read anew by every test."""
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(bell, "ring", lambda stage, lane: heard.append((stage, lane)))
    return heard


@pytest.fixture(autouse=True)
def fresh_rules() -> Iterator[None]:
    rulebook.forget()
    yield
    rulebook.forget()


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process remembers for a second it remembers for the whole test, for who counts its queries."""
    still = SimpleNamespace(monotonic=lambda: 1.0)
    for module in (rulebook, short_memory):
        monkeypatch.setattr(module, "time", still)
    for name in ("READ_EVERY", "CLOSE"):
        monkeypatch.setattr(dbclock, name, math.inf)


@pytest.fixture
def application(db: None) -> Application:
    return Application.objects.create(name="Shop", slug="shop", locale="en")


@pytest.fixture
def anna(application: Application) -> Subscriber:
    return Subscriber.objects.create(application=application, external_id="anna")


@pytest.fixture
def ben(application: Application) -> Subscriber:
    return Subscriber.objects.create(application=application, external_id="ben")


@pytest.fixture
def key(application: Application) -> ApiKey:
    return ApiKey.objects.create(
        application=application, name="shop", prefix="abc", digest="x", lanes=["high", "normal"], scopes=[]
    )


@pytest.fixture
def shipped(application: Application) -> EventType:
    return EventType.objects.create(application=application, name="com.shop.shipped", lane="high")


@pytest.fixture
def campaign(application: Application) -> Campaign:
    made = Campaign.objects.create(
        application=application, name="Shipped", title="Order {{ event.data.order }}"
    )
    launching.approve(made, by="test")
    return made


@pytest.fixture
def make_rule(application: Application, shipped: EventType, campaign: Campaign) -> Callable[..., Rule]:
    def make(name: str = "Tell the buyer", **values: Any) -> Rule:
        return Rule.objects.create(
            **{
                "application": application,
                "event_type": shipped,
                "campaign": campaign,
                "name": name,
                **values,
            }
        )

    return make


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    def make(id: str = "1", **attributes: Any) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": id,
            "source": "/shop/orders",
            "type": "com.shop.shipped",
            "subject": "anna",
            "data": {"order": 7},
            **attributes,
        }

    return make


@pytest.fixture
def take(
    application: Application, key: ApiKey, shipped: EventType, event: Callable[..., dict[str, Any]]
) -> Callable[..., Event]:
    def take(id: str = "1", sender: Sender | None = None, **attributes: Any) -> Event:
        accepted = accept(application, [event(id, **attributes)], sender or Sender.key(key))
        assert accepted.rejected == []
        return Event.objects.get(uid=accepted.stored[0])

    return take
