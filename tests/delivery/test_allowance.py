"""Quotas and streams: no minute holds more than the provider takes, urgent lanes find room, waves halve the streams."""

import random

import pytest
import redis

from delivery import allowance
from delivery.allowance import Allowance, Quota

PROJECT = Quota("fcm:shop", 1_000)
SECOND = 1_800_000_000


def take(lane: str, wanted: int, *, now: int = SECOND, quota: Quota = PROJECT) -> Allowance:
    return allowance.take(1, "fcm", lane, wanted, quota, now=now)


def test_the_quota_belongs_to_the_firebase_project_and_can_be_set() -> None:
    account = {"service_account": {"project_id": "shop"}}
    assert allowance.quota_of(1, "fcm", account, {}) == Quota("fcm:shop", 600_000)
    assert allowance.quota_of(2, "fcm", account, {}).pool == "fcm:shop", (
        "applications of one project share it"
    )
    assert allowance.quota_of(1, "fcm", account, {"per_minute": 9}).per_minute == 9
    assert allowance.quota_of(1, "apns", {"private_key": "x"}, {"topic": "t"}) == Quota("apns:1", 0)


@pytest.mark.parametrize(
    ("lane", "limit"), [("critical", 1_000), ("high", 950), ("normal", 850), ("bulk", 700)]
)
def test_a_lane_leaves_its_reserve(lane: str, limit: int) -> None:
    assert allowance.limit_of(1_000, lane) == limit
    assert allowance.limit_of(1, lane) == 1, "a small quota lets every lane through"


def test_without_redis_nothing_is_held_back(settings: pytest.FixtureRequest) -> None:
    assert take("bulk", 5_000) == Allowance(5_000, 0.0, settings.STREAMS, 0)


@pytest.mark.server
@pytest.mark.usefixtures("real_redis")
class TestOnRedis:
    def test_a_parcel_gets_what_is_left_and_is_told_when_to_ask_again(self) -> None:
        assert take("bulk", 500).messages == 500
        part = take("bulk", 500, now=SECOND + 10)
        assert (part.messages, part.wait) == (200, 51.0), (
            "the first second's tokens come back a minute after it"
        )
        none = take("bulk", 500, now=SECOND + 20)
        assert (none.messages, none.wait) == (0, 41.0)
        assert take("bulk", 500, now=SECOND + 61).messages == 500

    def test_urgent_lanes_find_room_when_bulk_has_used_its_share(self) -> None:
        assert take("bulk", 5_000).messages == 700
        assert take("normal", 5_000).messages == 150
        assert take("high", 5_000).messages == 100
        assert take("critical", 5_000).messages == 50
        assert take("critical", 1).messages == 0

    def test_no_minute_holds_more_than_the_quota(self) -> None:
        random.seed(3)
        booked: dict[int, int] = {}
        for second in range(SECOND, SECOND + 400):
            for _ in range(random.randint(0, 3)):
                lane = random.choice(["critical", "high", "normal", "bulk"])
                got = take(lane, random.randint(1, 200), now=second)
                booked[second] = booked.get(second, 0) + got.messages
        busiest = max(
            sum(booked.get(each, 0) for each in range(start, start + 60))
            for start in range(SECOND, SECOND + 400)
        )
        assert 900 < busiest <= 1_000

    def test_who_waits_as_told_is_not_turned_away(self) -> None:
        random.seed(5)
        now = SECOND
        for _ in range(200):
            got = take("normal", random.randint(1, 400), now=now)
            if got.wait:
                assert take("normal", 1, now=now + int(got.wait)).messages == 1
            now += random.randint(0, 9)

    def test_what_was_not_used_comes_back(self) -> None:
        got = take("critical", 1_000)
        allowance.give_back(got, 400)
        assert take("critical", 1_000).messages == 400

    def test_a_provider_without_a_quota_gives_all(self) -> None:
        assert take("bulk", 10**6, quota=Quota("apns:1", 0)).messages == 10**6

    def test_a_wave_halves_the_streams_once_however_many_parcels_saw_it(
        self, settings: pytest.FixtureRequest
    ) -> None:
        settings.STREAMS = 500
        first, second = take("bulk", 1), take("bulk", 1)
        assert first.streams == second.streams == 500
        assert allowance.came_in_waves(1, "fcm", first) == 1
        assert allowance.came_in_waves(1, "fcm", second) == 1
        after = take("bulk", 1)
        assert (after.streams, after.waves) == (250, 1)
        for _ in range(12):
            allowance.came_in_waves(1, "fcm", take("bulk", 1))
        assert take("bulk", 1).streams == allowance.LEAST_STREAMS
        assert allowance.streams_of(1, "fcm") == allowance.LEAST_STREAMS
        assert allowance.streams_of(1, "apns") == allowance.streams_of(2, "fcm") == 500

    def test_clean_parcels_grow_the_streams_by_steps_up_to_the_bound(
        self, settings: pytest.FixtureRequest, real_redis: redis.Redis
    ) -> None:
        settings.STREAMS = 100
        allowance.came_in_waves(1, "fcm", take("bulk", 1))
        grown = []
        for _ in range(4):
            got = take("bulk", 1)
            grown.append(got.streams)
            allowance.came_clean(1, "fcm", got, 500)
        assert grown == [50, 75, 100, 100]
        assert not real_redis.exists("nh:pace:fcm:1"), "what is as it was made needs no memory"
        allowance.came_in_waves(1, "fcm", take("bulk", 1))
        one = take("bulk", 1)
        allowance.came_clean(1, "fcm", one, 1)
        assert take("bulk", 1).streams == 51, "one message shows that one more is possible"

    def test_one_round_trip_for_a_parcel(self, real_redis: redis.Redis) -> None:
        take("bulk", 1)
        before = real_redis.info("commandstats")
        take("bulk", 1)
        calls = {
            name: stats["calls"] - before.get(name, {"calls": 0})["calls"]
            for name, stats in real_redis.info("commandstats").items()
        }
        assert calls["cmdstat_evalsha"] == 1
        assert "cmdstat_eval" not in calls
