"""Frequency caps in a real Redis: the script means what the plain words mean, and Redis may forget."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery import caps, dbclock, runs
from delivery.draining import plan_one
from delivery.log.store import NewEntry, log_store
from delivery.models import Page, Parcel, Stopped
from delivery.policy.caps import Ask, Full, InMemory
from delivery.positions import notification_id
from delivery.senders.contract import Verdict
from delivery.snapshot import Policy, Text
from devices.frequency_caps import Cap
from devices.models import Application, Category, Subscriber
from tests.delivery import world

pytestmark = [
    pytest.mark.server,
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]
HOUR = 3600.0
ONE_A_DAY = [{"category": None, "count": 1, "hours": 24}]


def asks(*landings: tuple[int, int, float]) -> list[Ask]:
    return [Ask(UUID(int=s).bytes, UUID(int=n).bytes, at) for s, n, at in landings]


def begun(redis: Any, application: int, written: Any = ONE_A_DAY) -> None:
    epoch = caps.RedisCaps(application, written).epoch
    redis.hset(epoch, mapping={"since": "0", "whole": 1, "opens": "0"})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 60)), min_size=1, max_size=5),
        max_size=12,
    ),
    first=st.builds(Cap, st.none(), st.integers(1, 3), st.integers(1, 24)),
    second=st.builds(Cap, st.just("offers"), st.integers(1, 2), st.integers(1, 48)),
)
def test_the_script_means_what_the_plain_words_mean(
    redis: Any, steps: list[list[tuple[int, int, int]]], first: Cap, second: Cap
) -> None:
    redis.flushall()
    written = [{"category": cap.category, "count": cap.count, "hours": cap.hours} for cap in (first, second)]
    begun(redis, 7, written)
    kept, plain = caps.RedisCaps(7, written), InMemory()
    now = 1_790_000_000.25
    for step in steps:
        asked = asks(*((s, n, now + hour * HOUR / 2) for s, n, hour in step))
        looked = caps.RedisCaps(7, written, put=False).reserve((first, second), asked[:1], now=now)
        expected = plain.reserve((first, second), asked, now=now)
        assert kept.reserve((first, second), asked, now=now) == expected
        assert looked == expected[:1], "looking gives the same answer"
        now += HOUR


def test_one_call_for_a_page(redis: Any) -> None:
    begun(redis, 7)
    kept = caps.RedisCaps(7, ONE_A_DAY)
    page = asks(*((n, n, 1_790_000_000.0) for n in range(1, 501)))
    kept.reserve(kept._all, page, now=1_790_000_000.0)
    before = redis.info("commandstats")
    assert kept.reserve(kept._all, page, now=1_790_000_000.0) == [None] * 500
    after = redis.info("commandstats")
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert calls["cmdstat_evalsha"] == 1


def test_a_place_is_given_back(redis: Any) -> None:
    begun(redis, 7)
    kept = caps.RedisCaps(7, ONE_A_DAY)
    now = 1_790_000_000.0
    assert kept.reserve(kept._all, asks((1, 1, now)), now=now) == [None]
    [full] = kept.reserve(kept._all, asks((1, 2, now + 60)), now=now + 60)
    assert full == Full(0, now + 24 * HOUR)
    kept.release([(UUID(int=1).bytes, UUID(int=1).bytes)])
    assert kept.reserve(kept._all, asks((1, 2, now + 60)), now=now + 60) == [None]


def test_places_do_not_stay_in_redis_for_ever(redis: Any) -> None:
    begun(redis, 7)
    kept = caps.RedisCaps(7, ONE_A_DAY)
    kept.reserve(kept._all, asks((1, 1, 1_790_000_000.0)), now=1_790_000_000.0)
    lives = [redis.ttl(key) for key in redis.keys("nh:cap:7:*") if key != kept.epoch]
    assert lives and all(86_400 <= life <= 86_500 for life in lives)


def test_two_campaigns_at_once_stay_under_the_cap(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    world.people(app, 12, "fcm")
    first, second = world.launch(app), world.launch(app)
    work_all()
    told = [runs.progress(run) for run in (first, second)]
    assert sum(one.logged for one in told) == 12
    assert sum(one.stopped.get("capped", 0) for one in told) == 12
    assert all(runs.balances(run).faults == [] for run in (first, second))
    assert Stopped.objects.first().detail == {"category": None, "count": 1, "hours": 24}  # type: ignore[union-attr]


def test_what_is_transactional_is_neither_counted_nor_stopped(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    begun(redis, app.pk)
    receipts = Category.objects.create(application=app, key="receipts", name="R", transactional=True)
    world.people(app, 3, "fcm")
    exempt = world.snapshot(policy=Policy(transactional=True))
    for values in (
        {"snapshot": exempt},
        {"category": receipts},
        {},
        {"snapshot": exempt},
        {"category": receipts},
    ):
        world.launch(app, **values)
        work_all()
    assert len(provider.sent) == 15


def test_who_is_over_a_cap_is_put_off_when_the_campaign_says_so(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    world.people(app, 2, "fcm")
    world.launch(app)
    work_all()
    run = world.launch(app, snapshot=world.snapshot(policy=Policy(capped="defer"), ttl=3 * 86_400))
    work_all()
    progress = runs.progress(run)
    assert (progress.deferred, progress.logged) == (2, 0)
    [until] = Page.objects.filter(run=run, kind="slice").values_list("due_at", flat=True)
    assert 86_300 < until - time.time() < 86_400 + 900


def test_a_message_that_fails_gives_its_place_back(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    one, both = world.subscriber(app, "one"), world.subscriber(app, "both")
    world.device(one, token="bad-1")
    world.device(both, token="bad-2")
    world.device(both, "apns", token="good")
    provider.answers = {bad: {"verdict": Verdict.FAILED, "reason": "x"} for bad in ("bad-1", "bad-2")}
    world.launch(app)
    work_all()
    provider.answers = {}
    run = world.launch(app)
    work_all()
    progress = runs.progress(run)
    assert (progress.logged, progress.stopped) == (1, {"capped": 1})
    assert Stopped.objects.get(run=run).subscriber_id == both.pk


def test_a_text_that_cannot_be_rendered_gives_its_place_back(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    world.device(world.subscriber(app, "zero", attributes={"first_name": "Ada", "n": 0}))
    world.launch(app, snapshot=world.snapshot(texts={"en": Text(title="{{ 1 | divided_by: n }}")}))
    work_all()
    run = world.launch(app)
    work_all()
    assert runs.progress(run).logged == 1


def test_after_a_flush_the_log_says_who_was_told(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    """A page is planned only when those of its people have their places again."""
    app = world.application()
    app.caps = [{"category": None, "count": 2, "hours": 24}, {"category": "offers", "count": 1, "hours": 48}]
    app.save()
    offers = Category.objects.create(application=app, key="offers", name="Offers")
    receipts = Category.objects.create(application=app, key="receipts", name="R", transactional=True)
    people = world.people(app, 6, "fcm")
    for category in (offers, receipts):
        world.launch(app, category=category)
        work_all()
    _tell_before(people[0], 3 * 86_400)
    redis.flushall()
    offered, plain, third = world.launch(app, category=offers), world.launch(app), world.launch(app)
    assert plan_one("normal")
    assert Page.objects.filter(state="waiting", due_at__gt=time.time() + 1).exists(), (
        "it waits for pages under way"
    )
    _settle(redis, app)
    work_all()
    assert runs.progress(offered).stopped == {"capped": 6}
    assert (runs.progress(plain).logged, runs.progress(third).stopped) == (6, {"capped": 6})
    assert all(runs.balances(run).faults == [] for run in (offered, plain, third))


def test_a_flush_between_the_pages_of_two_runs_lets_nobody_over_the_cap(
    redis: Any, provider: world.FakeSender, work_all: Work, settings: Any
) -> None:
    settings.PAGE_PEOPLE = 10
    settings.PAGE_PAUSE_MS = 0
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    people = world.people(app, 40, "fcm")
    both = world.launch(app), world.launch(app)
    for _ in range(4):
        plan_one("normal")
    redis.flushall()
    plan_one("normal")
    _settle(redis, app)
    work_all()
    told = [runs.progress(run) for run in both]
    assert sum(one.logged for one in told) == len(people)
    assert len({token for token, _ in provider.sent}) == len(provider.sent) == 40


def test_after_a_flush_nobody_counts_as_told_before_they_were(
    redis: Any, provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a jitter people are told up to an hour after their page was planned."""
    now = begin = time.time()
    monkeypatch.setattr(dbclock, "now", lambda: now)
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    world.people(app, 24, "fcm")
    spread = world.launch(app, snapshot=world.snapshot(policy=Policy(jitter=3600), ttl=7_200))
    plan_one("normal")
    told = {parcel.due_at: parcel.size for parcel in Parcel.objects.filter(run=spread)}
    assert sum(told.values()) == 24 and len(told) > 3
    redis.flushall()
    now = begin + 24 * HOUR + 1_000
    run = world.launch(app, snapshot=world.snapshot(ttl=3 * 86_400))
    plan_one("normal")
    _settle(redis, app)
    plan_one("normal")
    free_again = sum(count for at, count in told.items() if at + 24 * HOUR <= now)
    assert 0 < free_again < 24
    assert runs.progress(run).logged == free_again


def test_an_application_that_told_nobody_begins_at_once(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    work_all()
    assert runs.progress(run).logged == 3
    assert redis.hget(caps.RedisCaps(app.pk, app.caps).epoch, "whole") == b"1"


def test_a_cap_that_is_new_counts_what_was_told_before(
    redis: Any, provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    app.caps = [{"category": None, "count": 5, "hours": 1}]
    app.save()
    world.people(app, 3, "fcm")
    world.launch(app)
    work_all()
    app.caps = [*app.caps, *ONE_A_DAY]
    app.save()
    run = world.launch(app)
    assert plan_one("normal")
    _settle(redis, app)
    work_all()
    assert runs.progress(run).stopped == {"capped": 3}


def test_a_page_waits_while_redis_is_away(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    app.caps = ONE_A_DAY
    app.save()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    assert plan_one("normal")
    page = Page.objects.get(run=run)
    assert (page.state, page.logged) == ("waiting", 0) and page.due_at > time.time()
    assert Parcel.objects.count() == 0


def _settle(redis: Any, app: Application) -> None:
    """Let the time pass for which a hub that lost its memory waits."""
    redis.hset(caps.RedisCaps(app.pk, app.caps).epoch, "opens", "0")
    Page.objects.filter(state="waiting").update(due_at=0)


def _tell_before(person: Subscriber, seconds: float) -> None:
    """Write an entry of an older run to a log: too old for any cap."""
    run = uuid4()
    identity = notification_id(run, person.uid)
    new = NewEntry(person.uid.bytes, identity.bytes, b"")
    log_store().append([new], run=run, stamp=time.time() - seconds)
