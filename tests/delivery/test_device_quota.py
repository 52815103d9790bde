"""One Android device's limits at FCM: what is too much waits, nobody else does."""

from typing import Any

import pytest
import redis

from delivery import device_quota, pushing, runs
from delivery.draining import plan_one
from delivery.models import Parcel, Run
from delivery.outgoing import Target
from tests.delivery import world

MINUTE = 1_800_000_000.0
"""When both a minute and an hour begin."""


def target(platform: str = "android", token: str = "t") -> Target:
    return Target(1, b"", 1, b"", b"", token, False, platform, 0, None)


def test_only_android_devices_are_counted() -> None:
    assert device_quota.is_counted(target())
    assert not device_quota.is_counted(target("ios"))
    assert not device_quota.is_counted(target("web"))
    assert not device_quota.is_counted(target(token="topic:news"))


def test_without_redis_nothing_is_held_back() -> None:
    assert device_quota.take(1, [7] * 1_000) == {}


@pytest.mark.server
@pytest.mark.usefixtures("real_redis")
class TestOnRedis:
    def test_a_device_gets_240_in_a_minute_and_others_go_on(self) -> None:
        assert device_quota.take(1, [7] * 239, now=MINUTE) == {}
        late = device_quota.take(1, [7, 8, 7, 7], now=MINUTE + 15)
        assert late == {2: 45.0, 3: 45.0}, "one more may go; the rest waits for the minute's end"
        assert device_quota.take(2, [7], now=MINUTE + 15) == {}, "another application is none of its business"
        assert device_quota.take(1, [7 + device_quota.SLOTS], now=MINUTE + 15) == {0: 45.0}, (
            "who shares a counter waits too"
        )

    def test_the_minute_slides(self) -> None:
        device_quota.take(1, [7] * 240, now=MINUTE)
        assert device_quota.take(1, [7], now=MINUTE + 60.0) == {0: 60.0}, "all of the minute before counts"
        late = device_quota.take(1, [7] * 200, now=MINUTE + 90)
        assert len(late) == 200 - 120, "half of it is over"
        assert device_quota.take(1, [7] * 240, now=MINUTE + 240) == {}

    def test_a_device_gets_5000_in_an_hour(self) -> None:
        for minute in range(25):
            assert device_quota.take(1, [7] * 200, now=MINUTE + minute * 120) == {}
        assert device_quota.take(1, [7, 8], now=MINUTE + 3_000) == {0: 600.0}

    def test_what_is_counted_is_bounded_and_goes_away(self, real_redis: redis.Redis) -> None:
        device_quota.take(1, list(range(100_000)), now=MINUTE)
        keys = real_redis.keys("nh:device:*")
        assert len(keys) == 2
        assert all(real_redis.strlen(key) <= 2 * device_quota.SLOTS for key in keys)
        assert all(0 < real_redis.ttl(key) <= 7_200 for key in keys)


@pytest.mark.django_db(databases=["default", "log"], transaction=True)
@pytest.mark.usefixtures("nobody_online")
@pytest.mark.parametrize(("kind", "held"), [(Run.Kind.DIRECT, 2), (Run.Kind.AUDIENCE, 0)])
def test_messages_of_events_wait_without_an_attempt_and_campaigns_are_not_counted(
    provider: world.FakeSender, monkeypatch: pytest.MonkeyPatch, kind: str, held: int, work_all: Any
) -> None:
    app = world.application()
    world.people(app, 5, "fcm")
    run = world.launch(app)
    Run.objects.filter(pk=run.pk).update(kind=kind)
    while plan_one("normal"):
        pass
    monkeypatch.setattr(pushing.device_quota, "take", lambda app, devices: {1: 40.0, 3: 30.0})
    work_all()
    progress = runs.progress(run)
    assert (progress.outcomes, progress.waiting) == (({"sent": 5 - held}), held)
    later = Parcel.objects.filter(run=run, state="waiting")
    assert [parcel.attempt for parcel in later] == [1] * held, "nothing was tried"
    assert runs.balances(run).faults == []
