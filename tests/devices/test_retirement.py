"""Dead tokens are retired at once; whoever registers anew wins over a late answer."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from devices.models import Device
from devices.push_subscriptions import Subscription
from devices.retirement import retire
from tests.delivery import world

pytestmark = pytest.mark.django_db


def device(provider: str = "apns", **values: Any) -> Device:
    return world.device(world.subscriber(world.application(), "ada"), provider, **values)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_a_dead_token_retires_its_device_at_once() -> None:
    one = device()
    assert retire({one.pk: None}, tokens={one.pk: one.token}, asked_at=time.time() + 1) == 1
    one.refresh_from_db()
    assert (one.state, one.retired_reason, one.retired_at is not None) == ("retired", "dead_token", True)
    assert retire({one.pk: None}, tokens={one.pk: one.token}, asked_at=time.time() + 1) == 0


def test_a_registration_after_the_providers_timestamp_wins() -> None:
    """APNs's 410 says since when: a device that registered the same token later has it again."""
    one = device(registered_at=at(1_000))
    assert retire({one.pk: 999.0}, tokens={one.pk: one.token}, asked_at=2_000) == 0
    assert retire({one.pk: 1_001.0}, tokens={one.pk: one.token}, asked_at=2_000) == 1


def test_a_registration_while_the_provider_was_asked_wins_over_its_late_answer() -> None:
    """FCM and push services give no time: the answer is about what was so when they were asked."""
    one = device("fcm", registered_at=at(1_000))
    assert retire({one.pk: None}, tokens={one.pk: one.token}, asked_at=999) == 0
    assert retire({one.pk: None}, tokens={one.pk: one.token}, asked_at=1_001) == 1


def test_another_token_by_now_wins_over_a_late_answer() -> None:
    one = device("fcm")
    assert retire({one.pk: None}, tokens={one.pk: "the old one"}, asked_at=time.time() + 1) == 0


def test_a_browser_without_its_subscription_is_a_websocket_device_again() -> None:
    token = Subscription("https://x.test/1", "p", "a").token
    one = device("socket")
    Device.objects.filter(pk=one.pk).update(provider="webpush", token=token, token_digest="d")
    assert retire({one.pk: None}, tokens={one.pk: token}, asked_at=time.time() + 1) == 1
    one.refresh_from_db()
    assert (one.state, one.provider, one.token, one.token_digest) == ("active", "socket", "", "")
    assert one.retired_reason == "dead_subscription"
