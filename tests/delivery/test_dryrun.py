"""A dry run decides what a send decides, leaves nothing behind, and says how sure it is."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery import caps, dbclock, dryrun, planning, runs
from delivery.draining import plan_one
from delivery.models import Entry, Page, Parcel, Run, Stopped
from delivery.policy import window
from delivery.policy.caps import InMemory
from delivery.snapshot import Policy, Text
from devices import counting
from devices.models import Application, Category, Device, Preference, Subscriber
from tests.delivery import world
from tests.delivery.policy.facts import changes

pytestmark = pytest.mark.django_db(databases=["default", "log"])
RUN = UUID(int=77)
QUIET = ["", "22:00-08:00", "off", "02:10-02:40"]
PEOPLE = 30
AT_THE_CHANGE = [f"s{number}" for number in range(5, PEOPLE, 6)]
ZONES = ["", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe"]


class Looking(InMemory):
    """Reservations that a dry run may look at and not touch."""

    def __init__(self, put: bool, places: Any) -> None:
        super().__init__()
        self.places = places if put else {key: dict(held) for key, held in places.items()}

    def release(self, gone: Any) -> None:
        list(gone)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Application:
    """People of every kind in an application with caps, counted in memory."""
    app = world.application()
    app.caps = [{"category": None, "count": 1, "hours": 24}]
    app.save()
    places: Any = {}
    monkeypatch.setattr(caps, "RedisCaps", lambda application, written, put=True: Looking(put, places))
    news = Category.objects.create(application=app, key="news", name="News")
    for number, person in enumerate(world.people(app, PEOPLE)):
        person.quiet_hours, person.time_zone = QUIET[number % 4], (*ZONES, "")[number % 6]
        person.consent = number % 7 != 3
        person.save()
        if number % 6 == 1:
            Preference.objects.create(subscriber=person, category=news, allowed=False)
        if number % 4 == 0:
            places[("*:24", person.uid.bytes)] = {
                b"earlier": datetime(2026, 3, 28, 22, tzinfo=UTC).timestamp()
            }
    return app


def rehearsed(app: Application, **values: Any) -> dryrun.Rehearsal:
    fields = {"snapshot": world.snapshot(), "lane": "normal", "uid": RUN}
    return dryrun.rehearse(application=app, **{**fields, **values})


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    change=st.deferred(lambda: st.sampled_from(changes())),
    offset=st.floats(-86_400, 86_400),
    quiet=st.sampled_from(QUIET),
    ttl=st.sampled_from([3600, 86_400]),
    policy=st.builds(
        Policy,
        capped=st.sampled_from(["drop", "defer"]),
        transactional=st.booleans(),
        local_time=st.sampled_from(["", "02:30", "09:00"]),
        late=st.sampled_from(["now", "tomorrow"]),
        jitter=st.sampled_from([0, 300]),
        rate=st.sampled_from([0, 1_000]),
        window_start=st.sampled_from(["", "06:00", "18:00"]),
        window_end=st.sampled_from(["", "07:00", "20:00"]),
    ),
)
def test_with_the_same_facts_at_the_same_instant_it_decides_what_a_send_decides(
    crowd: Application,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, datetime],
    offset: float,
    quiet: str,
    ttl: int,
    policy: Policy,
) -> None:
    """Around every change of every zone's clock; some of the people live in that zone."""
    for model in (Stopped, Parcel, Page):
        model._default_manager.all().delete()
    Run.objects.all().delete()
    zone, instant = change
    asked = instant.timestamp() + offset
    # a launch waits for its window (`campaigns.launching`)
    now = window.opening(policy, asked, started=asked, zone=crowd.time_zone)
    Subscriber.objects.filter(external_id__in=AT_THE_CHANGE).update(time_zone=zone)
    for held in _places().values():
        held.update(dict.fromkeys(held, now - 23 * 3600))
    crowd.quiet_hours = quiet
    crowd.save()
    news = Category.objects.get()
    snapshot = world.snapshot(policy=policy, ttl=ttl)
    with monkeypatch.context() as patched:
        patched.setattr(dbclock, "now", lambda: now)
        patched.setattr(timezone, "now", lambda: datetime.fromtimestamp(now, UTC))
        patched.setattr(planning, "_log", lambda run, work, stamp: None)
        before = rehearsed(crowd, snapshot=snapshot, category=news, at=asked)
        run = world.launch(crowd, snapshot=snapshot, category=news, uid=RUN)
        assert plan_one("normal")
    progress = runs.progress(run)
    page = Page.objects.get(run=run, kind="shard")
    assert (before.audience, before.told, before.stopped) == (PEOPLE, progress.logged, progress.stopped)
    assert sum(before.later.values()) == page.deferred
    sizes = dict.fromkeys(before.messages, 0)
    for parcel in Parcel.objects.filter(run=run):
        sizes[parcel.provider] += parcel.size
    assert sizes == before.messages
    # what was planned took places; the next example starts without them
    for held in _places().values():
        for taken in [name for name in held if name != b"earlier"]:
            del held[taken]


def _places() -> Any:
    return caps.RedisCaps(0, []).places  # type: ignore[attr-defined]


def test_it_leaves_nothing_behind(crowd: Application) -> None:
    found = rehearsed(crowd)
    assert found.audience == found.looked_at == 30 and not found.sampled and found.margin == 0
    assert found.audience == found.told + sum(found.stopped.values()) + sum(found.later.values())
    assert not any(model._default_manager.exists() for model in (Run, Page, Parcel, Stopped))
    assert not Entry.objects.using("log").exists()
    assert all(set(held) == {b"earlier"} for held in _places().values() if held)


def test_it_shows_what_five_people_read_and_what_it_weighs(db: None) -> None:
    app = world.application()
    world.people(app, 9)
    found = rehearsed(app)
    assert [one.title for one in found.samples] == [f"Hi Ada{number}" for number in range(5)]
    assert found.messages == {"apns": 3, "fcm": 3, "socket": 3}
    assert 150 < found.bytes["fcm"].mean <= found.bytes["fcm"].largest < 600
    assert found.bytes["fcm"].total == 3 * found.bytes["fcm"].mean
    longer = rehearsed(app, snapshot=world.snapshot(texts={"en": Text(title="Hi", body="é" * 1_000)}))
    assert longer.bytes["apns"].largest > 2_000


def test_people_who_are_told_later_are_shown_too(db: None) -> None:
    app = world.application()
    app.quiet_hours = "22:00-08:00"
    app.save()
    world.people(app, 3)
    found = rehearsed(app, at=datetime(2026, 6, 15, 23, tzinfo=UTC).timestamp())
    assert (found.told, found.later) == (0, {"quiet_hours": 3})
    assert len(found.samples) == 3 and found.bytes


def test_the_throttle_says_how_long_it_takes(db: None) -> None:
    app = world.application()
    world.people(app, 20)
    assert rehearsed(app).seconds == 0
    slow = world.snapshot(policy=Policy(rate=60, rate_per="minute"))
    assert rehearsed(app, snapshot=slow).seconds == pytest.approx(20)


def test_a_launch_that_its_window_has_wait_is_rehearsed_for_its_opening(db: None) -> None:
    app = world.application()
    app.quiet_hours = "22:00-08:00"
    app.save()
    world.people(app, 3)
    evening = world.snapshot(policy=Policy(window_start="18:00", window_end="20:00"))
    asked = datetime(2026, 6, 15, 23, tzinfo=UTC)
    found = rehearsed(app, snapshot=evening, at=asked.timestamp())
    assert (found.told, found.later) == (3, {})
    assert found.at == asked.replace(day=16, hour=18).timestamp()


def test_a_large_audience_is_sampled_and_it_says_so(db: None) -> None:
    app = world.application()
    Subscriber.objects.bulk_create(
        Subscriber(application=app, external_id=f"s{number}", consent=number % 10 >= 3)
        for number in range(4_000)
    )
    Device.objects.bulk_create(
        Device(application=app, subscriber=person, platform="android", provider="fcm", token=f"t{person.pk}")
        for person in Subscriber.objects.filter(external_id__endswith="7")
    )
    found = rehearsed(app, looked_at=800)
    assert found.sampled and found.audience == 4_000
    assert 700 <= found.looked_at <= 800
    assert 0 < found.margin < 0.1
    assert abs(found.stopped["no_consent"] - 1_200) <= found.margin * 4_000
    assert abs(found.messages["fcm"] - 400) <= 2 * found.margin * 4_000
    assert found.audience == found.told + sum(found.stopped.values())
    counted = rehearsed(app, looked_at=800, everybody=True)
    assert (counted.sampled, counted.margin, counted.looked_at) == (False, 0.0, 4_000)
    assert counted.stopped == {"no_consent": 1_200}


def test_people_count_for_as_many_as_live_where_they_were_found(db: None) -> None:
    """Ids close together and ids far apart hold as many people as were counted, whatever lies between them."""
    app, other = world.application(), world.application(slug="other")
    Subscriber.objects.bulk_create(
        Subscriber(
            application=app if number < 2_000 or number % 20 == 0 else other,
            external_id=f"s{number}",
            consent=number < 2_000,
        )
        for number in range(4_000)
    )
    found = rehearsed(app, looked_at=800)
    assert found.sampled and found.audience == 2_100
    assert abs(found.stopped["no_consent"] - 100) <= 40
    assert found.audience == found.told + found.stopped["no_consent"]


def test_how_large_a_segment_is_may_be_an_estimate_that_says_so(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FEWEST", 100), ("SMALL", 100), ("SAMPLE", 800), ("RARE", 10), ("BLOCKS", 20)):
        monkeypatch.setattr(counting, name, value)
    app = world.application()
    Subscriber.objects.bulk_create(
        Subscriber(application=app, external_id=f"s{number}", locale="de" if number % 7 < 3 else "en")
        for number in range(4_000)
    )
    german = world.snapshot(predicate={"locale": "de"})
    exact = rehearsed(app, snapshot=german, looked_at=400)
    assert (exact.audience, exact.audience_margin) == (1_716, 0)
    found = rehearsed(app, snapshot=german, looked_at=400, estimated=True)
    assert found.sampled and 0 < found.audience_margin < 300
    assert abs(found.audience - 1_716) <= 2 * found.audience_margin
    assert found.audience == found.told + sum(found.stopped.values())
    assert rehearsed(app, looked_at=400, estimated=True).audience == 4_000
    counted = rehearsed(app, snapshot=german, looked_at=400, estimated=True, everybody=True)
    assert (counted.audience, counted.audience_margin) == (1_716, 0)


@pytest.mark.parametrize("counted", [True, False])
def test_twice_the_people_are_looked_at_in_as_many_queries(
    db: None, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    monkeypatch.setattr(dbclock, "now", time.time)
    app = world.application()
    most = 10_000 if counted else 80
    asked = []
    for prefix in "ab":
        Subscriber.objects.bulk_create(
            Subscriber(application=app, external_id=f"{prefix}{number}") for number in range(1_200)
        )
        with CaptureQueriesContext(connection) as queries:
            rehearsed(app, looked_at=most)
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 4


def test_nobody_is_an_audience_too(db: None) -> None:
    found = rehearsed(world.application())
    assert (found.audience, found.told, found.samples, found.seconds) == (0, 0, [], 0)


def test_without_redis_it_says_that_caps_were_not_counted(db: None) -> None:
    app = world.application()
    app.caps = [{"category": None, "count": 1, "hours": 24}]
    app.save()
    world.people(app, 3)
    found = rehearsed(app)
    assert (found.told, found.caps_counted) == (3, False)


def test_it_says_whose_text_is_cut_and_whose_data_is_too_large() -> None:
    app = world.application()
    for number, (provider, length) in enumerate([("fcm", 10), ("fcm", 4_500), ("apns", 10), ("apns", 4_500)]):
        owner = world.subscriber(app, f"s{number}", attributes={"long": "x" * length})
        world.device(owner, provider, token=f"{number:064x}")
    texts = {"en": Text(title="T", body="{{ long }}")}
    found = rehearsed(app, snapshot=world.snapshot(texts=texts)).bytes
    # what a text of a person comes to is bounded besides: 4,000 characters
    assert (found["fcm"].weighed, found["fcm"].shortened, found["fcm"].too_large) == (2, 1, 0)
    heavy = {"en": Text(title="T", data={"k": "{{ long }}"})}
    found = rehearsed(app, snapshot=world.snapshot(texts=heavy)).bytes
    assert (found["apns"].shortened, found["apns"].too_large, found["apns"].limit) == (0, 1, 4_096)
    assert found["apns"].largest > 4_500


def test_a_best_hour_says_how_many_people_each_hour_has() -> None:
    app = world.application()
    people = world.people(app, 6, "fcm")
    for person, hour in zip(people, (9, 9, 20, 20, 20, -1), strict=True):
        person.best_hour = hour
        person.save()
    found = dryrun.rehearse(
        application=app,
        snapshot=world.snapshot(policy=Policy(best=12, best_from=8, best_until=22)),
        lane="bulk",
        at=datetime(2026, 6, 15, 23, 30, tzinfo=UTC).timestamp(),
    )
    assert found.hours == {"09": 2, "12": 1, "20": 3}
    assert found.later == {"best_hour": 6} and found.told == 0
