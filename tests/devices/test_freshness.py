"""Signs of life: stale after 30 days, lapsed after 270, kept to a day."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import tokens
from devices.freshness import FRESH, LAPSED, STALE, condition, freshness, see
from devices.models import Device
from tests.delivery import world

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("days", "found"), [(0, FRESH), (29.9, FRESH), (30.1, STALE), (269.9, STALE), (270.1, LAPSED)]
)
def test_a_device_is_stale_after_30_days_and_lapsed_after_270(days: float, found: str) -> None:
    now = timezone.now()
    assert freshness(now - timedelta(days=days), now) == found
    device = world.device(world.subscriber(world.application(), "ada"), seen_at=now - timedelta(days=days))
    kinds = [kind for kind in (FRESH, STALE, LAPSED) if Device.objects.filter(condition(kind), pk=device.pk)]
    assert kinds == [found]


def test_whoever_shows_a_subscriber_token_gives_a_sign_of_life_and_it_costs_one_write_a_day() -> None:
    device = world.device(world.subscriber(world.application(), "ada"), "socket")
    long_ago = timezone.now() - timedelta(days=40)
    for check in (tokens.verify, lambda token: tokens.verify_many([token])):
        Device.objects.update(seen_at=long_ago)
        token = tokens.mint(device.subscriber, device)
        check(token)
        device.refresh_from_db()
        assert timezone.now() - device.seen_at < timedelta(minutes=1)
        with CaptureQueriesContext(
            connection,
        ) as asked:
            check(token)
        assert not [query for query in asked.captured_queries if query["sql"].startswith("UPDATE")]


def test_a_sign_of_life_of_today_is_not_written_again() -> None:
    device = world.device(
        world.subscriber(world.application(), "ada"), seen_at=timezone.now() - timedelta(hours=2)
    )
    see([device.pk])
    assert Device.objects.get().seen_at == device.seen_at
