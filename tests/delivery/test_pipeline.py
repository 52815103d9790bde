"""From a run to outcomes, stage by stage, in one process: both balances hold whatever happens."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from delivery import claims, dbclock, gates, planning, runs
from delivery.draining import plan_one, send_one
from delivery.log import body as bodies
from delivery.log.store import log_store
from delivery.models import Gate, Page, Parcel, Run, Stopped
from delivery.policy import Candidate, Circumstances, Defer, each
from delivery.positions import START, notification_id, stamp_of
from delivery.senders.contract import Verdict
from delivery.snapshot import Named, Text
from devices.models import Category, Device, Fact, Preference, Segment
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]


@pytest.fixture(autouse=True)
def small_pages(settings: pytest.FixtureRequest) -> None:
    settings.PAGE_PEOPLE = 10
    settings.PAGE_PAUSE_MS = 0


def check_balances(run: Run) -> runs.Progress:
    balance = runs.balances(run)
    assert balance.faults == []
    assert balance.progress.complete
    return balance.progress


def test_a_run_reaches_everybody_once(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    people = world.people(app, 35)
    run = world.launch(app)
    work_all()
    progress = check_balances(run)
    assert (progress.audience, progress.logged, progress.messages) == (35, 35, 35)
    assert progress.outcomes == {"sent": 24, "stored": 11}
    assert len(set(provider.sent)) == len(provider.sent) == 24
    entries = log_store().read(people[3].uid, after=START, limit=10)
    assert [bodies.decode(entry.body).content.title for entry in entries] == ["Hi Ada3"]
    assert entries[0].notification == notification_id(run.uid, people[3].uid)


def test_who_received_is_counted_once_whatever_their_devices(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    people = world.people(app, 12, "fcm")
    world.device(people[0], "apns")
    Segment.objects.create(application=app, name="Told", predicate={"received": {"within_days": 1}})
    people[1].consent = False
    people[1].save()
    world.launch(app)
    work_all()
    counts = dict(Fact.objects.values_list("subscriber_id", "count"))
    assert counts == {person.pk: 1 for person in people if person != people[1]}


def test_whom_policy_stops_is_counted_and_named(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    people = world.people(app, 12, "fcm")
    category = Category.objects.create(application=app, key="news", name="News")
    people[0].consent = False
    people[0].save()
    Preference.objects.create(subscriber=people[1], category=category, allowed=False)
    run = world.launch(app, category=category)
    work_all()
    progress = check_balances(run)
    assert progress.stopped == {"category_off": 1, "no_consent": 1}
    assert progress.outcomes == {"sent": 10}
    assert set(Stopped.objects.values_list("subscriber_id", "reason")) == {
        (people[0].pk, "no_consent"),
        (people[1].pk, "category_off"),
    }
    assert log_store().read(people[0].uid, after=START, limit=10) == []


def test_a_subscriber_without_a_device_has_an_entry_and_counts_as_no_device(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    alone = world.subscriber(app, "alone")
    run = world.launch(app)
    work_all()
    assert check_balances(run).outcomes == {"no_device": 1}
    assert len(log_store().read(alone.uid, after=START, limit=10)) == 1


def test_only_the_platforms_of_the_run_are_sent_to(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 6, "fcm apns")
    run = world.launch(app, snapshot=world.snapshot(platforms=["ios"]))
    work_all()
    assert check_balances(run).outcomes == {"sent": 3, "no_device": 3}


def test_a_segment_chooses_people(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 6, "fcm")
    world.device(world.subscriber(app, "pro", attributes={"plan": "pro"}), token="pro-token")
    run = world.launch(app, snapshot=world.snapshot(predicate={"attribute": "plan", "is": "pro"}))
    work_all()
    assert check_balances(run).audience == 1
    assert [token for token, _ in provider.sent] == ["pro-token"]


def test_those_who_come_after_the_launch_are_not_in_the_audience(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    world.device(world.subscriber(app, "late"), token="late")
    work_all()
    assert check_balances(run).audience == 3


def test_named_people_get_what_was_said_to_them(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    first, second, gone = world.people(app, 3, "fcm")
    people = [
        Named(first.pk, "a", {"event": {"n": 1}}),
        Named(first.pk, "b", {"event": {"n": 2}}),
        Named(first.pk, "b", {"event": {"n": 2}}),
        Named(second.pk, "c", {"event": {"n": 3}}),
        Named(gone.pk, "d"),
    ]
    run = world.launch(
        app, people=people, snapshot=world.snapshot(texts={"en": Text(title="No {{ event.n }}")})
    )
    gone.delete()
    work_all()
    progress = check_balances(run)
    assert progress.stopped == {"duplicate": 1, "unknown_subscriber": 1}
    titles = [
        bodies.decode(entry.body).content.title for entry in log_store().read(first.uid, after=START, limit=9)
    ]
    assert sorted(titles) == ["No 1", "No 2"]


def test_a_text_that_fails_for_one_person_stops_only_them(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.device(world.subscriber(app, "zero", attributes={"count": 0}))
    world.device(world.subscriber(app, "two", attributes={"count": 2}))
    run = world.launch(app, snapshot=world.snapshot(texts={"en": Text(title="{{ 10 | divided_by: count }}")}))
    work_all()
    progress = check_balances(run)
    assert (progress.stopped, progress.outcomes) == ({"render_failed": 1}, {"sent": 1})
    assert "divide by 0" in Stopped.objects.get().detail["reason"]


def test_people_who_are_put_off_are_planned_again_when_due(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 8, "fcm")
    run = world.launch(app)
    until = time.time() + 0.3

    def half_later(who: Candidate, circumstances: Circumstances) -> Defer | None:
        return Defer(until) if who.person.id % 2 and circumstances.now < until else None

    page = claims.claim_page("normal", "test")
    assert page is not None
    planning.work_page(page, stages=(each(half_later),))
    progress = runs.progress(run)
    assert (progress.audience, progress.deferred, progress.logged) == (4, 4, 4)
    assert progress.balanced and not progress.planned
    Page.objects.filter(kind=Page.Kind.SLICE).update(due_at=0)
    work_all()
    progress = check_balances(run)
    assert (progress.audience, progress.deferred, progress.outcomes) == (8, 0, {"sent": 8})


def test_a_dead_token_is_never_sent_to_again(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    provider.answers["token-s0-fcm"] = {"verdict": Verdict.DEAD, "reason": "unregistered"}
    run = world.launch(app)
    work_all()
    progress = check_balances(run)
    assert (progress.outcomes, progress.reasons) == ({"sent": 1, "failed": 1}, {"unregistered": 1})
    assert Device.objects.get(token="token-s0-fcm").state == Device.State.RETIRED
    provider.envelopes.clear()
    world.launch(app)
    work_all()
    assert [token for token, _ in provider.sent] == ["token-s1-fcm"]


def test_a_token_registered_after_the_provider_found_it_dead_lives_on(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 1, "apns")
    provider.default = {"verdict": Verdict.DEAD, "reason": "unregistered", "dead_since": time.time() - 3600}
    world.launch(app)
    work_all()
    assert Device.objects.get().state == Device.State.ACTIVE


def test_what_fails_for_now_is_tried_again_with_the_same_identity(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    provider.answers["token-s1-fcm"] = {
        "verdict": Verdict.RETRY,
        "reason": "unavailable",
        "retry_after": 30.0,
    }
    run = world.launch(app)
    work_all()
    waiting = Parcel.objects.get(state="waiting")
    assert (waiting.size, waiting.attempt) == (1, 2)
    assert waiting.due_at > time.time() + 20
    assert runs.progress(run).balanced
    provider.answers.clear()
    Parcel.objects.filter(pk=waiting.pk).update(due_at=0)
    work_all()
    assert check_balances(run).outcomes == {"sent": 3}
    [first, again] = [sent for sent in provider.sent if sent[0] == "token-s1-fcm"]
    assert first == again


def test_a_message_is_given_up_after_its_last_attempt(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    provider.default = {"verdict": Verdict.RETRY, "reason": "unavailable"}
    run = world.launch(app)
    while work_all():
        Parcel.objects.update(due_at=0)
    progress = check_balances(run)
    assert (progress.outcomes, progress.reasons) == ({"failed": 1}, {"gave_up": 1})
    assert len(provider.sent) == 8


def test_refused_credentials_shut_the_gate_and_leave_the_devices_alone(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 4, "fcm apns")
    provider.answers = {
        f"token-s{n}-fcm": {"verdict": Verdict.SHUT, "reason": "unauthenticated"} for n in (0, 2)
    }
    run = world.launch(app)
    work_all()
    gate = gates.state(app.pk, "fcm")
    assert gate.state == Gate.State.SHUT
    assert "unauthenticated" in gate.reason
    assert gates.state(app.pk, "apns").state == Gate.State.OPEN
    assert Device.objects.filter(state=Device.State.ACTIVE).count() == 4
    progress = runs.progress(run)
    assert (progress.outcomes, progress.waiting) == ({"sent": 2}, 2)
    provider.answers = {}
    gates.open_(app.pk, "fcm")
    work_all()
    assert check_balances(run).outcomes == {"sent": 4}


def test_a_message_behind_a_shut_gate_expires_at_its_time(
    provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    gates.shut(app.pk, "fcm", "test")
    run = world.launch(app, expires_at=timezone.now() + timedelta(hours=1))
    while plan_one("normal"):
        pass
    assert not send_one("fcm", "normal")
    monkeypatch.setattr(dbclock, "now", lambda: time.time() + 3601)
    work_all()
    assert check_balances(run).outcomes == {"expired": 1}
    assert provider.sent == []


def test_a_slowed_gate_holds_the_parcels_until_its_time(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    gates.slow(app.pk, "fcm", until=time.time() + 60, reason="test")
    run = world.launch(app)
    work_all()
    assert runs.progress(run).waiting == 2
    gates.slow(app.pk, "fcm", until=time.time() + 30, reason="of several instants the latest holds")
    assert not send_one("fcm", "normal")
    Gate.objects.update(until=timezone.now())
    assert gates.state(app.pk, "fcm").state == Gate.State.OPEN
    work_all()
    assert check_balances(run).outcomes == {"sent": 2}


def test_who_opts_out_between_plan_and_send_is_not_sent_to(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    people = world.people(app, 3, "fcm")
    run = world.launch(app)
    plan_one("normal")
    people[0].consent = False
    people[0].save()
    people[1].devices.all().delete()
    work_all()
    progress = check_balances(run)
    assert (progress.outcomes, progress.reasons) == (
        {"sent": 1, "cancelled": 2},
        {"device_gone": 1, "opted_out": 1},
    )


def test_a_paused_run_stands_still_and_goes_on_with_the_rest(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 25, "fcm")
    run = world.launch(app)
    plan_one("normal")
    runs.pause(run)
    assert work_all() == 0
    with pytest.raises(runs.StateError, match="paused"):
        runs.pause(run)
    runs.resume(run)
    work_all()
    assert check_balances(run).outcomes == {"sent": 25}


def test_a_cancelled_run_sends_nothing_more_and_still_balances(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 25, "fcm")
    run = world.launch(app)
    plan_one("normal")
    runs.cancel(run)
    assert work_all() == 0
    assert check_balances(run).outcomes == {"cancelled": 10}
    with pytest.raises(runs.StateError):
        runs.resume(run)


def test_a_recalled_run_is_hidden_from_readers(provider: world.FakeSender, work_all: Work) -> None:
    from delivery import inbox

    app = world.application()
    [person] = world.people(app, 1, "socket")
    run = world.launch(app)
    work_all()
    assert len(inbox.read(person.uid, platform="web", after=None)["entries"]) == 1
    runs.recall(run)
    assert inbox.read(person.uid, platform="web", after=None)["entries"] == []


def test_a_finished_run_is_marked_done(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    assert runs.finish_due() == 0
    work_all()
    assert runs.finish_due() == 1
    run.refresh_from_db()
    assert run.state == Run.State.DONE


def test_a_uid_launches_once(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    uid = UUID(int=7)
    assert world.launch(app, uid=uid) == world.launch(app, uid=uid)
    work_all()
    assert len(provider.sent) == 2


def test_a_worker_that_lost_its_lease_commits_nothing(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 5, "fcm")
    run = world.launch(app)
    slow = claims.claim_page("normal", "slow")
    assert slow is not None
    assert claims.claim_page("normal", "quick") is None, "a lease that holds is respected"
    Page.objects.update(lease_until=0)
    work_all()
    with pytest.raises(claims.LeaseLostError):
        planning.work_page(slow)
    assert check_balances(run).outcomes == {"sent": 5}


def test_a_page_that_commits_late_is_stamped_anew(
    provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that slept between stamp and commit writes its entries again at their new place."""
    app = world.application()
    [person] = world.people(app, 1, "fcm")
    world.launch(app)
    page = claims.claim_page("normal", "sleeper")
    assert page is not None
    asked = []
    real = planning.dbclock.now

    def slept() -> float:
        asked.append(1)
        return real() - (60 if len(asked) == 1 else 0)

    monkeypatch.setattr(planning.dbclock, "now", slept)
    planning.work_page(page)
    entries = log_store().read(person.uid, after=START, limit=10)
    assert len({entry.notification for entry in entries}) == 1
    assert [round(time.time() - stamp_of(entry.position), -1) for entry in entries] == [60, 0]


def test_a_piece_that_kills_its_workers_is_set_aside(provider: world.FakeSender) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    run = world.launch(app)
    for _ in range(claims.MAX_CLAIMS):
        assert claims.claim_page("normal", "dies") is not None
        Page.objects.update(lease_until=0)
    assert claims.claim_page("normal", "dies") is None
    assert Page.objects.get().state == "dead"
    assert not runs.progress(run).planned


def test_the_least_recently_served_run_goes_next(provider: world.FakeSender) -> None:
    app = world.application()
    world.people(app, 30, "fcm")
    first, second = world.launch(app), world.launch(app)
    served = []
    for _ in range(4):
        page = claims.claim_page("normal", "test")
        assert page is not None
        served.append(page.run_id)
        planning.work_page(page)
    assert served == [first.pk, second.pk, first.pk, second.pk]


def test_a_page_costs_the_same_number_of_queries_whatever_its_size(
    provider: world.FakeSender, django_assert_num_queries: object, settings: object
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for size in (2, 10):
        app = world.application(f"app{size}")
        world.people(app, size, "fcm apns")
        world.launch(app)
        page = claims.claim_page("normal", "test")
        assert page is not None
        with CaptureQueriesContext(
            connection,
        ) as queries:
            planning.work_page(page)
        counts.append(len([query for query in queries if "SAVEPOINT" not in query["sql"]]))
    # the larger page is full, so it also makes the next page: one read and one insert more
    assert counts[1] - counts[0] <= 2, counts


def test_a_push_with_tokens_of_its_own_goes_to_these_alone_and_no_other_goes_there(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    owner = world.subscriber(app, "ada")
    for purpose in ("", "voip", "liveactivity:order-7", "liveactivity:order-8"):
        world.device(owner, "apns", token=f"t:{purpose}", purpose=purpose)
    world.device(owner, "fcm", token="t:android")
    run = world.launch(app)
    work_all()
    assert {token for token, _ in provider.sent} == {"t:", "t:android"}
    provider.envelopes.clear()
    ios = {"push_type": "liveactivity", "event": "update", "activity": "order-7", "content_state": {}}
    world.launch(app, snapshot=world.snapshot(texts={"en": Text(title="T", ios=ios)}))
    work_all()
    assert [token for token, _ in provider.sent] == ["t:liveactivity:order-7"]
    assert runs.balances(run).faults == []
