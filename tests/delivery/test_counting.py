"""Receipts become tallies: everybody once, whatever is repeated, lost or counted by two at a time."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command

from delivery import counting, goals, heard, receipts, reports, runs
from delivery.log.store import NewReceipt, log_store
from delivery.models import Goal as GoalRow
from delivery.models import Heard, Run, Stopped, Tally
from delivery.positions import notification_id
from delivery.snapshot import Experiment, Goal, Text, Variant
from devices.models import Application, Device, Subscriber
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online", "provider"),
]
Work = Callable[[], int]
BOUGHT = "com.example.bought"


@pytest.fixture
def app() -> Application:
    return world.application()


def launched(app: Application, work_all: Work, **values: Any) -> Run:
    run = world.launch(app, snapshot=world.snapshot(**values))
    work_all()
    run.refresh_from_db()
    return run


def say(run: Run, device: Device, kind: str, at: float | None = None) -> None:
    item = notification_id(run.uid, device.subscriber.uid)
    receipts.record(device.subscriber.uid, device.uid, [item], kind, at=at)


def count_all() -> None:
    while counting.step(time.time() + 60):
        pass
    assert not Heard.objects.exists()


def tallied(run: Run, dimension: str = "platform") -> dict[tuple[str, str], tuple[int, int]]:
    rows = Tally.objects.filter(run=run, dimension=dimension)
    return {(row.kind, row.value): (row.people, row.devices) for row in rows}


def test_each_device_and_each_person_counts_once(app: Application, work_all: Work) -> None:
    ada, bob = world.subscriber(app, "ada", locale="de-AT"), world.subscriber(app, "bob")
    phone, tv = world.device(ada, "fcm"), world.device(ada, "socket", platform="tv")
    other = world.device(bob, "apns")
    run = launched(app, work_all, texts={"en": Text(title="Hi"), "de": Text(title="Hallo")})
    now = time.time()
    for again in range(3):
        say(run, phone, "opened", now + again)
    say(run, tv, "opened", now + 1)
    say(run, other, "displayed", now)
    count_all()
    say(run, phone, "opened", now + 9)
    say(run, tv, "opened", now + 9)
    count_all()
    assert tallied(run) == {
        ("opened", "android"): (1, 1),
        ("opened", "tv"): (0, 1),
        ("displayed", "ios"): (1, 1),
    }
    assert tallied(run, "locale") == {("opened", "de"): (1, 2), ("displayed", "en"): (1, 1)}
    report = reports.of(run)
    assert [(stage.name, stage.people, stage.devices) for stage in report.funnel] == [
        ("told", 2, 3),
        ("accepted", None, 2),
        ("delivered", 0, 0),
        ("displayed", 1, 1),
        ("opened", 1, 2),
    ]
    assert {line.value: line.told for line in report.locales} == {"de": 1, "en": 1}
    assert {line.value: line.addressed for line in report.platforms} == {"android": 1, "ios": 1, "tv": 1}


def test_a_row_taken_by_two_workers_is_counted_once(
    app: Application, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = world.device(world.subscriber(app, "ada"), "fcm")
    run = launched(app, work_all)
    say(run, device, "opened")
    rows = list(Heard.objects.all())
    count_all()
    # the slower worker has read the row before it was deleted
    monkeypatch.setattr(counting, "_take", lambda now: rows)
    counting.step()
    assert tallied(run) == {("opened", "android"): (1, 1)}


def test_nothing_is_counted_when_the_count_cannot_be_written(
    app: Application, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = world.device(world.subscriber(app, "ada"), "fcm")
    run = launched(app, work_all)
    say(run, device, "opened")

    def broken(counts: Any) -> None:
        raise RuntimeError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(counting, "_write", broken)
        with pytest.raises(RuntimeError):
            counting.step(time.time() + 60)
    assert Heard.objects.count() == 1
    count_all()
    assert tallied(run) == {("opened", "android"): (1, 1)}


def test_what_belongs_to_no_run_and_what_cannot_be_read_is_let_go(app: Application) -> None:
    stray = world.device(world.subscriber(app, "ada"), "fcm")
    receipts.record(stray.subscriber.uid, stray.uid, [UUID(int=5)], "opened")
    Heard.objects.create(kind="receipts", body=b"\xc1", created_at=0)
    count_all()
    assert not Tally.objects.exists()


def test_a_recount_comes_to_the_same_as_counting_did(app: Application, work_all: Work, capsys: Any) -> None:
    people = world.people(app, 12, "fcm apns socket")
    run = launched(app, work_all)
    for number, device in enumerate(Device.objects.order_by("pk").select_related("subscriber")):
        for kind in ("acknowledged", "displayed", "opened")[: number % 4]:
            say(run, device, kind, time.time() - 7200 * (number % 3))
    count_all()
    before = {dimension: tallied(run, dimension) for dimension in ("platform", "locale", "hour")}
    assert sum(devices for _, devices in before["platform"].values()) == sum(
        number % 4 for number in range(len(people))
    )
    Tally.objects.filter(run=run).update(people=99)
    counting.recount(run, wait=0)
    assert {dimension: tallied(run, dimension) for dimension in before} == before
    call_command("recount", str(run.uid))
    assert "18 receipts" in capsys.readouterr().out


def test_what_is_said_during_a_recount_is_counted_once_afterwards(
    app: Application, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (world.device(world.subscriber(app, name), "fcm") for name in ("ada", "bob"))
    run = launched(app, work_all)
    say(run, first, "opened")

    def meanwhile(seconds: float) -> None:
        say(run, second, "opened")
        counting.step(time.time() + 60)

    monkeypatch.setattr(counting.time, "sleep", meanwhile)
    counting.recount(run)
    assert tallied(run) == {("opened", "android"): (1, 1)}
    count_all()
    assert tallied(run) == {("opened", "android"): (2, 2)}


# -- goals


def buys(person: Subscriber, after: float = 0.0, event_type: str = BOUGHT) -> None:
    """Have the person's event come so many seconds from now."""
    goals.note([heard.Met(person.application_id, person.external_id, event_type, time.time() + after)])


def test_an_event_converts_whom_the_run_told_within_its_time_once(app: Application, work_all: Work) -> None:
    ada, bob, eve = (world.subscriber(app, name) for name in ("ada", "bob", "eve"))
    for person in (ada, bob, eve):
        world.device(person, "fcm")
    eve.consent = False
    eve.save()
    run = launched(app, work_all, goal=Goal(BOUGHT, 3600))
    other = launched(app, work_all)
    for person in (ada, ada, eve):
        buys(person)
    buys(bob, after=3700)
    buys(bob, event_type="com.example.looked")
    count_all()
    assert tallied(run) == {("converted", ""): (1, 0)} and not tallied(other)
    assert [stage.people for stage in reports.of(run).funnel if stage.name == "converted"] == [1]
    counting.recount(run, wait=0)
    assert tallied(run) == {("converted", ""): (1, 0)}


def test_events_that_are_nobodys_goal_are_not_kept(app: Application, work_all: Work) -> None:
    person = world.subscriber(app, "ada")
    launched(app, work_all, goal=Goal(BOUGHT, 60))
    buys(person, event_type="com.example.looked")
    GoalRow.objects.update(until=time.time())
    buys(person)
    assert not Heard.objects.exists()


# -- experiments


def test_an_experiment_tells_each_arm_its_text_and_the_control_group_nothing(
    app: Application, work_all: Work
) -> None:
    people = world.people(app, 60, "fcm")
    trial = Experiment(
        "x", [Variant("A"), Variant("B", 1, {"en": Text(title="Other")})], 2_500, metric="converted"
    )
    run = launched(
        app, work_all, experiment=trial, goal=Goal(BOUGHT, 3600), texts={"en": Text(title="Plain")}
    )
    balance = runs.balances(run)
    assert balance.faults == [] and balance.progress.complete
    left_out = set(
        Stopped.objects.filter(run=run, reason="control_group").values_list("subscriber_id", flat=True)
    )
    assert 5 < len(left_out) < 30
    titles = {}
    for person in people:
        entries = log_store().newest(person.uid, before=None, limit=1)
        assert bool(entries) == (person.pk not in left_out)
        if entries:
            titles[person.pk] = b"Other" in entries[0].body
    for person in people:
        if person.pk in left_out or titles[person.pk]:
            buys(person)
    count_all()
    shown = reports.of(run).experiment
    assert shown is not None and shown.control is not None and not shown.winner
    by_key = {arm.key: (arm.people, arm.did) for arm in shown.variants}
    others = sum(titles.values())
    assert by_key == {"A": (60 - len(left_out) - others, 0), "B": (others, others)}
    assert (shown.control.people, shown.control.did) == (len(left_out), len(left_out))
    report = reports.of(run)
    assert next(stage.people for stage in report.funnel if stage.name == "converted") == others
    before = tallied(run)
    counting.recount(run, wait=0)
    assert tallied(run) == before


def test_a_person_is_in_the_same_arm_whenever_they_are_counted(app: Application, work_all: Work) -> None:
    world.people(app, 20, "fcm")
    run = launched(app, work_all, experiment=Experiment("y", [Variant("A"), Variant("B")]))
    for device in Device.objects.select_related("subscriber"):
        say(run, device, "opened")
    count_all()
    shown = reports.of(run).experiment
    assert shown is not None
    assert (
        all(arm.people == arm.did for arm in shown.variants) and sum(arm.did for arm in shown.variants) == 20
    )


# -- side by side, and as a table


def test_runs_stand_side_by_side_in_as_many_queries_however_many_they_are(
    app: Application, work_all: Work, django_assert_num_queries: Any
) -> None:
    devices = [world.device(world.subscriber(app, name), "fcm") for name in ("ada", "bob")]
    some = [launched(app, work_all) for _ in range(3)]
    say(some[1], devices[0], "opened")
    count_all()
    for chosen in (some[:1], some):
        with django_assert_num_queries(3):
            compared = reports.compare(chosen)
    assert [(one.told, one.accepted, one.opened, one.share("opened")) for one in compared] == [
        (2, 2, 0, 0.0),
        (2, 2, 1, 0.5),
        (2, 2, 0, 0.0),
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_of_a_table_is_a_formula(app: Application, work_all: Work, text: str) -> None:
    run = launched(app, work_all)
    run.title = text
    rows = reports.rows(reports.of(run))
    assert all(row[1] == f"'{text}" for row in rows[1:])
    assert reports.safe(-5) == -5 and reports.safe("5") == "5"


def test_a_receipt_is_written_before_it_is_kept_to_be_counted(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(rows: Any) -> None:
        raise OSError("the log is away")

    monkeypatch.setattr(type(log_store()), "write_receipts", lambda self, rows: away(rows))
    with pytest.raises(OSError, match="away"):
        receipts.store([NewReceipt(bytes(16), bytes(16), bytes(16), "opened", 1.0)])
    assert not Heard.objects.exists()


def test_opens_teach_the_best_hour_once_each(app: Application, work_all: Work) -> None:
    ada = world.subscriber(app, "ada", time_zone="Asia/Tokyo")
    phone, tablet = world.device(ada, "fcm"), world.device(ada, "apns")
    # Monday, 12:30 in Tokyo
    noon = 1_781_494_200.0
    for number in range(3):
        assert Subscriber.objects.get(pk=ada.pk).best_hour == -1
        run = launched(app, work_all)
        say(run, phone, "opened", at=noon + number * 86_400)
        say(run, tablet, "opened", at=noon + number * 86_400 + 7_200)
        say(run, phone, "displayed", at=noon)
        count_all()
    ada.refresh_from_db()
    assert ada.best_hour == 12
    assert sum(bytes(ada.open_hours.counts)) == sum(app.open_hours.counts) == 3


def test_the_log_is_asked_of_which_run_a_few_receipts_are_and_not_all(
    app: Application, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_recent", [])
    phones = [world.device(world.subscriber(app, f"p{number}"), "fcm") for number in range(60)]
    first, second = (launched(app, work_all, texts={"en": Text(title=title)}) for title in ("One", "Two"))
    asked: list[int] = []
    real = log_store().runs_of
    monkeypatch.setattr(
        type(log_store()), "runs_of", lambda _, pairs: asked.append(len(pairs)) or real(pairs)
    )
    for phone in phones:
        say(first, phone, "opened")
        say(second, phone, "opened")
    count_all()
    assert tallied(first) == tallied(second) == {("opened", "android"): (60, 60)}
    assert sum(asked) <= 20
    asked.clear()
    for phone in phones:
        say(first, phone, "displayed")
    count_all()
    assert tallied(first)[("displayed", "android")] == (60, 60)
    assert not asked
