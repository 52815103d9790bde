"""A stop acts in the middle of a parcel: nothing more is started, and what was started counts."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from delivery import halting, holds, runs
from delivery.draining import plan_one, send_one
from delivery.log.store import log_store
from delivery.models import Parcel, Run, WorkState
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]
PEOPLE, BEFORE = 9, 4


@pytest.fixture
def run(provider: world.FakeSender) -> Run:
    app = world.application()
    world.people(app, PEOPLE, "fcm")
    made = world.launch(app)
    plan_one("normal")
    return made


@pytest.fixture
def midway(
    provider: world.FakeSender, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], Any]], None]:
    """Send the one parcel there is, and do something when some of its messages have been sent."""
    monkeypatch.setattr(halting, "CHECK_EVERY", 0.0)
    real = provider.send

    def send_and(do: Callable[[], Any]) -> None:
        def send(*args: Any, **values: Any) -> Iterator[Any]:
            for number, result in enumerate(real(*args, **values), 1):
                yield result
                if number == BEFORE:
                    do()
            monkeypatch.setattr(provider, "send", real)

        monkeypatch.setattr(provider, "send", send)
        assert send_one("fcm", "normal")

    return send_and


@pytest.mark.parametrize("kind", ["pause", "hold", "hold a lane"])
def test_what_was_not_started_waits_and_is_sent_when_it_goes_on(
    run: Run, provider: world.FakeSender, midway: Any, work_all: Work, kind: str
) -> None:
    lane = "normal" if kind == "hold a lane" else ""
    midway(lambda: runs.pause(run) if kind == "pause" else holds.stop(run.application, lane=lane))
    progress = runs.progress(run)
    assert (progress.outcomes, progress.waiting) == ({"sent": BEFORE}, PEOPLE - BEFORE)
    assert Parcel.objects.get(state=WorkState.WAITING).attempt == 1, "a stop uses up no attempt"
    assert work_all() == 0
    if kind == "pause":
        runs.resume(run)
    else:
        holds.resume(run.application, lane=lane)
    work_all()
    assert runs.progress(run).outcomes == {"sent": PEOPLE} and runs.progress(run).balanced
    assert len({identity for _, identity in provider.sent}) == PEOPLE


@pytest.mark.parametrize(("stop", "reason"), [(runs.cancel, "cancelled"), (runs.recall, "recalled")])
def test_what_was_not_started_is_cancelled_with_the_run_and_what_was_sent_counts_as_sent(
    run: Run, midway: Any, stop: Callable[[Run], None], reason: str
) -> None:
    midway(lambda: stop(run))
    progress = runs.progress(run)
    assert progress.outcomes == {"sent": BEFORE, "cancelled": PEOPLE - BEFORE}
    assert progress.reasons == {reason: PEOPLE - BEFORE} and progress.complete and progress.balanced
    assert runs.balances(run).faults == []


def test_a_parcel_whose_worker_died_in_a_cancelled_run_is_cancelled_when_its_lease_is_over(run: Run) -> None:
    Parcel.objects.update(state=WorkState.CLAIMED, lease_until=time.time() + 15)
    runs.cancel(run)
    assert runs.progress(run).waiting == PEOPLE, "its worker may still close it"
    runs.finish_due()
    assert runs.progress(run).waiting == PEOPLE
    Parcel.objects.update(lease_until=time.time() - 1)
    runs.finish_due()
    assert runs.progress(run).outcomes == {"cancelled": PEOPLE}


def test_a_page_in_hand_when_the_run_is_cancelled_leaves_nothing_that_waits(
    provider: world.FakeSender, work_all: Work
) -> None:
    from delivery import claims, planning

    app = world.application()
    people = world.people(app, 3, "fcm")
    run = world.launch(app)
    page = claims.claim_page("normal", "test")
    assert page is not None
    runs.cancel(run)
    planning.work_page(page)
    assert work_all() == 0
    runs.finish_due()
    balance = runs.balances(run)
    assert balance.faults == [] and balance.progress.outcomes == {"cancelled": 3}
    assert len(log_store().read(people[0].uid, after=bytes(16), limit=5)) == 1


def test_the_database_is_asked_twice_a_second_whatever_the_number_of_messages(
    run: Run, django_assert_num_queries: Any
) -> None:
    parcel = Parcel.objects.get()
    with django_assert_num_queries(0):
        watch = halting.Watch(parcel)
        assert all(watch.go_on() for _ in range(500))
    watch._read_at -= halting.CHECK_EVERY
    with django_assert_num_queries(1):
        assert all(watch.go_on() for _ in range(500))
