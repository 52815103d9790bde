"""The policy in the pipeline: who is held is told later, pages keep their pace, and a page stays as cheap as it was."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from delivery import bell, caps, claims, dbclock, planning, runs
from delivery.draining import plan_one
from delivery.models import Page, Parcel
from delivery.outgoing import decode
from delivery.policy.caps import InMemory
from delivery.snapshot import Named, Policy
from devices.models import Category, Preference
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]
NIGHT = datetime(2026, 6, 15, 23, 0, tzinfo=UTC).timestamp()


class Clock:
    """The database's clock, wherever a test wants it."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    found = Clock(time.time())
    monkeypatch.setattr(dbclock, "now", found)
    monkeypatch.setattr(timezone, "now", lambda: datetime.fromtimestamp(found.at, UTC))
    return found


@pytest.fixture(autouse=True)
def small_pages(settings: Any) -> None:
    settings.PAGE_PEOPLE = 10
    settings.PAGE_PAUSE_MS = 0


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> InMemory:
    """Reservations without Redis, one for all."""
    places = InMemory()
    monkeypatch.setattr(places, "release", lambda gone: list(gone), raising=False)
    monkeypatch.setattr(caps, "RedisCaps", lambda application, written, put=True: places)
    return places


def test_who_has_quiet_hours_is_told_when_they_end(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    clock.at = NIGHT
    app = world.application()
    app.quiet_hours = "22:00-08:00"
    app.save()
    people = world.people(app, 4, "fcm")
    people[1].quiet_hours = "off"
    people[1].save()
    people[2].time_zone = "America/Los_Angeles"
    people[2].save()
    run = world.launch(app)
    work_all()
    assert {token for token, _ in provider.sent} == {"token-s1-fcm", "token-s2-fcm"}
    assert runs.progress(run).deferred == 2
    clock.at = NIGHT + 9 * 3600 - 1
    assert work_all() == 0
    clock.at += 1
    work_all()
    balance = runs.balances(run)
    assert balance.faults == [] and balance.progress.complete
    assert balance.progress.outcomes == {"sent": 4}


def test_a_message_expires_at_its_persons_next_quiet_hours(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    clock.at = NIGHT - 2 * 3600
    app = world.application()
    app.quiet_hours = "22:00-08:00"
    app.save()
    [person] = world.people(app, 1, "apns")
    run = world.launch(app)
    plan_one("normal")
    [target] = decode(bytes(Parcel.objects.get().body or b"")).targets
    assert (target.expires_at, target.quiet) == (NIGHT - 3600, True)
    clock.at = NIGHT
    work_all()
    progress = runs.progress(run)
    assert (progress.outcomes, progress.reasons) == ({"expired": 1}, {"quiet_hours": 1})
    assert progress.logged == 1, "the log keeps it"
    assert provider.sent == []
    person.quiet_hours = "off"
    person.save()
    world.launch(app)
    work_all()
    [envelope] = provider.envelopes
    assert [message.expires_at for message in envelope.messages] == [clock.at + 86_400]


def test_a_critical_campaign_overrides_only_where_its_category_still_allows_it(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    clock.at = NIGHT
    app = world.application()
    app.quiet_hours = "22:00-08:00"
    app.save()
    alarm = Category.objects.create(application=app, key="alarm", name="Alarm", critical_overrides=True)
    people = world.people(app, 3, "fcm")
    Preference.objects.create(subscriber=people[0], category=alarm, allowed=False)
    people[1].consent = False
    people[1].save()
    snapshot = world.snapshot(policy=Policy(override=True))
    world.launch(app, lane="critical", category=alarm, snapshot=snapshot)
    work_all()
    assert {token for token, _ in provider.sent} == {"token-s0-fcm", "token-s2-fcm"}
    provider.envelopes.clear()
    world.launch(app, lane="high", category=alarm, snapshot=snapshot)
    alarm.critical_overrides = False
    alarm.save()
    world.launch(app, lane="critical", category=alarm, snapshot=snapshot)
    work_all()
    assert provider.sent == []


def test_a_local_time_comes_zone_by_zone(clock: Clock, provider: world.FakeSender, work_all: Work) -> None:
    clock.at = datetime(2026, 6, 15, 6, 0, tzinfo=UTC).timestamp()
    app = world.application()
    people = world.people(app, 9, "fcm")
    for number, person in enumerate(people):
        person.time_zone = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")[number % 3]
        person.save()
    run = world.launch(app, snapshot=world.snapshot(policy=Policy(local_time="09:00"), ttl=3600))
    work_all()
    assert runs.progress(run).outcomes == {"sent": 3}, "in Tokyo it was past nine"
    assert sorted(Page.objects.filter(kind="slice").values_list("due_at", flat=True)) == [
        datetime(2026, 6, 15, 7, 0, tzinfo=UTC).timestamp(),
        datetime(2026, 6, 15, 13, 0, tzinfo=UTC).timestamp(),
    ]
    for hours in (1, 7):
        clock.at = datetime(2026, 6, 15, 6 + hours, 0, tzinfo=UTC).timestamp()
        work_all()
    assert runs.progress(run).outcomes == {"sent": 9}
    assert runs.balances(run).faults == []


def test_named_people_wait_for_their_time_too(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    clock.at = datetime(2026, 6, 15, 15, 0, tzinfo=UTC).timestamp()
    app = world.application()
    [person] = world.people(app, 1, "fcm")
    policy = Policy(local_time="09:00", late="tomorrow")
    run = world.launch(app, people=[Named(person.pk, "a")], snapshot=world.snapshot(policy=policy, ttl=600))
    work_all()
    assert runs.progress(run).deferred == 1
    clock.at = datetime(2026, 6, 16, 9, 0, tzinfo=UTC).timestamp()
    work_all()
    assert runs.progress(run).outcomes == {"sent": 1}


def test_a_clock_that_comes_late_puts_nobody_off_to_the_next_day(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    planned = datetime(2026, 6, 15, 19, 0, tzinfo=UTC).timestamp()
    clock.at = planned + 90
    app = world.application()
    world.people(app, 3, "fcm")
    policy = Policy(local_time="19:00", late="tomorrow", begun=planned)
    run = world.launch(app, snapshot=world.snapshot(policy=policy, ttl=600))
    work_all()
    assert runs.progress(run).outcomes == {"sent": 3}


def test_pages_of_a_throttled_run_keep_its_pace(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    start = clock.at = float(round(clock.at))
    app = world.application()
    world.people(app, 23, "fcm")
    run = world.launch(app, snapshot=world.snapshot(policy=Policy(rate=5)))
    sent = []
    while not runs.progress(run).planned:
        work_all()
        sent.append((clock.at - start, len(provider.sent)))
        clock.at += 0.5
    assert [count for at, count in sent if at == int(at)] == [5, 10, 15, 20, 23]
    assert all(count <= 5 * (at + 1) for at, count in sent)
    assert runs.balances(run).faults == []
    assert max(Page.objects.values_list("fence", flat=True)) == 1, "a page has its slot before it is claimed"


def test_people_who_waited_are_throttled_as_well(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    clock.at = NIGHT
    app = world.application()
    app.quiet_hours = "22:00-08:00"
    app.save()
    world.people(app, 12, "fcm")
    run = world.launch(app, snapshot=world.snapshot(policy=Policy(rate=4)))
    for _ in range(10):
        work_all()
        clock.at += 1
    clock.at = NIGHT + 9 * 3600
    counts = []
    for _ in range(4):
        work_all()
        counts.append(len(provider.sent))
        clock.at += 1
    assert counts == [4, 8, 12, 12]
    assert runs.balances(run).faults == []
    assert max(Page.objects.values_list("fence", flat=True)) <= 2


def test_pages_wait_for_their_window_and_go_on_in_the_next(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    evening = datetime(2026, 6, 15, 18, 0, tzinfo=UTC).timestamp()
    clock.at = evening - 6 * 3600
    app = world.application()
    world.people(app, 25, "fcm")
    policy = Policy(window_start="18:00", window_end="20:00")
    run = world.launch(app, snapshot=world.snapshot(policy=policy, ttl=72 * 3600))
    for at, sent in [(clock.at, 0), (evening - 1, 0), (evening, None), (evening + 2 * 3600, 20)]:
        clock.at = at
        if sent is None:
            assert plan_one("normal") and plan_one("normal") and not Page.objects.filter(fence__gt=2).exists()
        else:
            work_all()
            assert len(provider.sent) == sent
    clock.at = evening + 24 * 3600
    work_all()
    balance = runs.balances(run)
    assert balance.faults == [] and balance.progress.outcomes == {"sent": 25}
    assert not Page.objects.filter(kind="slice").exists(), "its pages wait, not its people one by one"


def test_a_page_that_comes_late_for_its_slot_waits_for_the_next_window(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    clock.at = datetime(2026, 6, 15, 19, 59, 50, tzinfo=UTC).timestamp()
    app = world.application()
    world.people(app, 12, "fcm")
    policy = Policy(rate=4, window_start="18:00", window_end="20:00")
    run = world.launch(app, snapshot=world.snapshot(policy=policy, ttl=72 * 3600))
    work_all()
    assert len(provider.sent) == 4 and Page.objects.filter(state="waiting", paced=True).exists()
    clock.at += 3600  # the workers were away
    work_all()
    assert len(provider.sent) == 4
    clock.at = datetime(2026, 6, 16, 18, 0, tzinfo=UTC).timestamp()
    while not runs.progress(run).complete:
        work_all()
        clock.at += 0.5
    assert runs.progress(run).outcomes == {"sent": 12}
    assert not Page.objects.filter(kind="slice").exists()
    assert clock.at < datetime(2026, 6, 16, 18, 0, 5, tzinfo=UTC).timestamp()


def test_what_an_event_says_outside_the_window_waits_for_it_and_does_not_expire_on_the_way(
    clock: Clock, provider: world.FakeSender, work_all: Work
) -> None:
    clock.at = datetime(2026, 6, 15, 21, 0, tzinfo=UTC).timestamp()
    app = world.application()
    [free, sleeper] = world.people(app, 2, "fcm")
    sleeper.quiet_hours = "17:00-08:00"
    sleeper.save()
    snapshot = world.snapshot(policy=Policy(window_start="18:00", window_end="20:00"), ttl=600)
    named = [Named(one.pk, "a", None, clock.at + 600, since=clock.at) for one in (free, sleeper)]
    run = world.launch(app, people=named, snapshot=snapshot)
    work_all()
    assert provider.sent == [] and runs.progress(run).deferred == 1
    [page] = Page.objects.filter(kind="slice")
    assert page.due_at == datetime(2026, 6, 16, 18, 0, tzinfo=UTC).timestamp()
    assert runs.progress(run).stopped == {"no_hour": 1}
    clock.at = datetime(2026, 6, 16, 18, 0, tzinfo=UTC).timestamp()
    work_all()
    balance = runs.balances(run)
    assert balance.faults == [] and balance.progress.outcomes == {"sent": 1}


def test_whom_quiet_hours_leave_no_hour_holds_no_place_in_a_cap(
    clock: Clock,
    provider: world.FakeSender,
    work_all: Work,
    in_memory: InMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock.at = datetime(2026, 6, 15, 12, 0, tzinfo=UTC).timestamp()
    app = world.application()
    app.quiet_hours, app.caps = "17:00-08:00", [{"category": None, "count": 1, "hours": 24}]
    app.save()
    [person] = world.people(app, 1, "fcm")
    gone: list[Any] = []
    monkeypatch.setattr(in_memory, "release", gone.extend, raising=False)
    snapshot = world.snapshot(policy=Policy(window_start="18:00", window_end="20:00"))
    run = world.launch(app, people=[Named(person.pk, "a")], snapshot=snapshot)
    work_all()
    assert runs.progress(run).stopped == {"no_hour": 1}
    assert [subscriber for subscriber, _ in gone] == [person.uid.bytes]


def test_a_run_with_a_window_ends_after_its_opening() -> None:
    app = world.application()
    begun = datetime(2026, 6, 15, 21, 0, tzinfo=UTC)
    policy = Policy(window_start="18:00", window_end="20:00")
    assert runs.ends_at(app, world.snapshot(ttl=60, policy=policy), begun) == datetime(
        2026, 6, 16, 18, 1, tzinfo=UTC
    )


def test_a_window_without_a_beginning_has_the_launchs_time_of_day_and_events_midnight(clock: Clock) -> None:
    clock.at = datetime(2026, 6, 15, 9, 30, 20, tzinfo=UTC).timestamp()
    app = world.application()
    [person] = world.people(app, 1, "fcm")
    snapshot = world.snapshot(policy=Policy(window_end="18:00"))
    for run, start in [
        (world.launch(app, snapshot=snapshot), "09:30"),
        (world.launch(app, snapshot=snapshot, people=[Named(person.pk)]), "00:00"),
    ]:
        assert run.snapshot["policy"]["window_start"] == start


def test_jitter_spreads_parcels_and_nobody_rings_for_them_early(
    clock: Clock, provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[tuple[str, str]] = []
    monkeypatch.setattr(bell, "ring", lambda stage, lane: rung.append((stage, lane)))
    app = world.application()
    world.people(app, 10, "fcm")
    run = world.launch(app, snapshot=world.snapshot(policy=Policy(jitter=120)))
    start = clock.at
    work_all()
    due = list(Parcel.objects.values_list("due_at", flat=True))
    assert len(due) > 2 and all(start - dbclock.SLACK <= at < start + 120 for at in due)
    clock.at = start + 60
    rung.clear()
    assert bell.ring_due() and ("fcm", "normal") in rung
    clock.at = start + 120
    work_all()
    assert runs.progress(run).outcomes == {"sent": 10}


def test_a_page_makes_as_many_round_trips_with_every_policy_as_with_few_people(
    clock: Clock, in_memory: InMemory, provider: world.FakeSender
) -> None:
    """Caps are one call (`tests/delivery/test_caps.py`); everything else is thought without asking anybody."""
    clock.at = NIGHT
    counts = []
    for size in (3, 10):
        app = world.application(f"app{size}")
        app.quiet_hours = "22:00-08:00"
        app.caps = [{"category": None, "count": 3, "hours": 24}, {"category": None, "count": 9, "hours": 240}]
        app.save()
        people = world.people(app, size, "fcm")
        for number, person in enumerate(people):
            person.time_zone = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")[number % 3]
            person.save()
        policy = Policy(local_time="21:00", late="tomorrow", jitter=60, capped="defer")
        world.launch(app, snapshot=world.snapshot(policy=policy))
        page = claims.claim_page("normal", "test")
        assert page is not None
        with CaptureQueriesContext(connection) as queries, CaptureQueriesContext(connections["log"]) as log:
            planning.work_page(page)
        counts.append(len([each for each in [*queries, *log] if "SAVEPOINT" not in each["sql"]]))
    assert counts[1] - counts[0] <= 2, counts


def test_a_run_with_a_local_time_ends_after_the_last_zone() -> None:
    app = world.application()
    begun = datetime(2026, 6, 15, 6, 0, tzinfo=UTC)
    plain = runs.ends_at(app, world.snapshot(ttl=60), begun)
    local = runs.ends_at(app, world.snapshot(ttl=60, policy=Policy(local_time="09:00")), begun)
    assert plain == begun + timedelta(seconds=60)
    assert local >= datetime(2026, 6, 15, 21, 1, tzinfo=UTC)
