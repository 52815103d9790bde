"""Age at delivery: counted by lane with the parcel, beside the lane's objective, and never in the way of sending."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from delivery import ages, runs
from delivery.draining import plan_one
from delivery.models import Page, Parcel
from delivery.snapshot import Named
from tests.delivery import world

NOW = 1_800_000_000.0
Work = Callable[[], int]


class FakeRedis:
    """As much of Redis as counting needs."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[bytes, int]] = defaultdict(dict)
        self.expiring: set[str] = set()
        self.trips = 0
        self._answers: list[Any] = []
        self.away = False

    def pipeline(self, transaction: bool) -> "FakeRedis":
        self._answers = []
        return self

    def hincrby(self, key: str, field: str, amount: int) -> None:
        fields = self.hashes[key]
        fields[field.encode()] = fields.get(field.encode(), 0) + amount

    def expire(self, key: str, seconds: int) -> None:
        self.expiring.add(key)

    def hgetall(self, key: str) -> None:
        self._answers.append({k: str(v).encode() for k, v in self.hashes.get(key, {}).items()})

    def execute(self) -> list[Any]:
        self.trips += 1
        if self.away:
            raise RedisConnectionError("refused")
        return self._answers


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRedis]:
    fake = FakeRedis()
    monkeypatch.setattr(ages, "client", lambda: fake)
    monkeypatch.setattr(ages, "_resting_until", 0.0)
    return fake


def test_messages_fall_into_buckets_and_within_or_past_the_objective(redis: FakeRedis) -> None:
    ages.record(1, "critical", {NOW - 0.2: 3, NOW - 0.9: 1, NOW - 4: 2, NOW - 1e6: 1}, now=NOW)
    found = ages.totals()["critical"]
    assert (found.count, found.within) == (7, 4)
    by_bound = dict(zip(ages.BOUNDS, found.buckets, strict=False))
    assert (by_bound[0.25], by_bound[1.0], by_bound[5.0], found.buckets[-1]) == (3, 1, 2, 1)
    assert found.share == pytest.approx(4 / 7) and found.median() == 1.0
    assert found.seconds == pytest.approx(0.6 + 0.9 + 8 + 1e6, abs=0.1)
    assert redis.trips == 2, "one to count and one to read"


def test_a_lane_without_messages_has_no_share(redis: FakeRedis) -> None:
    found = ages.totals()["bulk"]
    assert (found.count, found.share, found.median()) == (0, None, None)


def test_hours_are_kept_by_application_and_forgotten(redis: FakeRedis) -> None:
    ages.record(1, "high", {NOW - 1: 5}, now=NOW)
    ages.record(1, "high", {NOW - 3600: 7}, now=NOW - 3600)
    ages.record(2, "high", {NOW - 1: 11}, now=NOW)
    assert ages.lately([1], now=NOW)["high"].count == 12
    assert ages.lately([1, 2], now=NOW, hours=1)["high"].count == 16
    assert ages.lately([], now=NOW)["high"].count == 0
    assert redis.expiring == {key for key in redis.hashes if key != "nh:age:high"}


def test_redis_away_costs_one_attempt_and_then_rest(redis: FakeRedis) -> None:
    redis.away = True
    for _ in range(5):
        ages.record(1, "high", {NOW - 1: 1}, now=NOW)
    assert redis.trips == 1


def test_what_is_not_known_is_not_counted(redis: FakeRedis) -> None:
    ages.record(1, "high", {0.0: 4}, now=NOW)
    assert ages.totals()["high"].count == 0


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[float, int]]]:
    heard: list[tuple[str, dict[float, int]]] = []
    monkeypatch.setattr(ages, "record", lambda app, lane, sent, *, now: heard.append((lane, dict(sent))))
    return heard


in_database = pytest.mark.django_db(databases=["default", "log"], transaction=True)
offline = pytest.mark.usefixtures("nobody_online")


@in_database
@offline
def test_a_campaigns_messages_are_as_old_as_its_launch(
    provider: world.FakeSender, work_all: Work, recorded: list[Any]
) -> None:
    app = world.application()
    world.people(app, 3, "fcm socket")
    run = world.launch(app)
    work_all()
    assert run.started_at is not None
    assert [("normal", {run.started_at.timestamp(): 2})] == [one for one in recorded if one[1]]


@in_database
@offline
def test_an_events_messages_are_as_old_as_its_acceptance_even_when_tried_again(
    provider: world.FakeSender, work_all: Work, recorded: list[Any]
) -> None:
    app = world.application()
    [first, second] = world.people(app, 2, "fcm")
    early, late = time.time() - 7, time.time() - 3
    people = [Named(first.pk, "a", accepted_at=early), Named(second.pk, "b", accepted_at=late)]
    from delivery.senders.contract import Verdict

    provider.answers["token-s0-fcm"] = {"verdict": Verdict.RETRY, "reason": "unavailable"}
    world.launch(app, lane="high", people=people)
    work_all()
    provider.answers.clear()
    Parcel.objects.update(due_at=0)
    work_all()
    assert [one for one in recorded if one[1]] == [("high", {late: 1}), ("high", {early: 1})]


@in_database
@offline
def test_people_put_off_are_as_old_as_the_instant_they_were_put_off_to(
    provider: world.FakeSender, work_all: Work, recorded: list[Any]
) -> None:
    app = world.application()
    [person] = world.people(app, 1, "fcm")
    run = world.launch(app, people=[Named(person.pk, accepted_at=time.time() - 3600)])
    due = time.time() - 2
    Page.objects.update(kind=Page.Kind.SLICE, due_at=due)
    while plan_one("normal"):
        pass
    work_all()
    assert runs.progress(run).outcomes == {"sent": 1}
    assert [one for one in recorded if one[1]] == [("normal", {due: 1})]


@pytest.mark.server
def test_a_real_redis_counts_the_same(redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Redis.from_url(redis_server.url)
    monkeypatch.setattr(ages, "client", lambda: connection)
    monkeypatch.setattr(ages, "_resting_until", 0.0)
    now = time.time()
    before = ages.totals()["critical"].count
    ages.record(987, "critical", {now - 0.2: 3, now - 2: 1}, now=now)
    assert ages.totals()["critical"].count == before + 4
    found = ages.lately([987], now=now)["critical"]
    assert (found.count, found.within, found.median()) == (4, 3, 0.25)
    connection.close()
