"""Dead letters are tried again or given up, and either way the balances close."""

from collections.abc import Callable

import pytest

from delivery import dbclock, deadletters, runs
from delivery.draining import plan_one
from delivery.log.store import log_store
from delivery.models import Page, Parcel, Run, Stopped, WorkState
from delivery.snapshot import Named
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]


@pytest.fixture(autouse=True)
def small_pages(settings: pytest.FixtureRequest) -> None:
    settings.PAGE_PEOPLE = 5
    settings.PAGE_PAUSE_MS = 0


def bury(model: type[Page] | type[Parcel]) -> Page | Parcel:
    model.objects.filter(state=WorkState.WAITING).update(
        state=WorkState.DEAD, tries=20, fence=20, error="ValueError"
    )
    found: Page | Parcel = model.objects.get(state=WorkState.DEAD)
    return found


def check(run: Run) -> runs.Progress:
    balance = runs.balances(run)
    assert balance.faults == [] and balance.progress.complete and balance.progress.balanced
    return balance.progress


def test_a_requeued_page_is_tried_as_often_as_a_new_one(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    page = bury(Page)
    assert work_all() == 0
    deadletters.requeue(page, by="eve")
    page.refresh_from_db()
    assert (page.state, page.tries, page.fence) == (WorkState.WAITING, 0, 20), "the fence never falls"
    work_all()
    assert check(run).outcomes == {"sent": 3}
    page.refresh_from_db()
    assert page.fence == 21


def test_a_parcel_given_up_fails_its_messages_each_with_its_reason(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    people = world.people(app, 3, "fcm")
    run = world.launch(app)
    plan_one("normal")
    assert deadletters.give_up(bury(Parcel), by="eve") == 3
    work_all()
    progress = check(run)
    assert (progress.outcomes, progress.reasons) == ({"failed": 3}, {"given_up": 3})
    [row] = log_store().outcomes([(people[0].pk, people[0].uid)], run.uid)
    assert (row.outcome, row.reason) == ("failed", "given_up")
    assert provider.sent == []


def test_a_parcel_that_cannot_even_be_read_can_be_given_up(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    run = world.launch(app)
    plan_one("normal")
    Parcel.objects.update(body=b"\xc1")
    deadletters.give_up(bury(Parcel), by="eve")
    assert check(run).outcomes == {"failed": 2}


def test_a_page_given_up_stops_its_people_and_the_shard_goes_on(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 8, "fcm")
    run = world.launch(app)
    assert deadletters.give_up(bury(Page), by="eve") == 5
    work_all()
    progress = check(run)
    assert (progress.audience, progress.stopped, progress.outcomes) == (8, {"given_up": 5}, {"sent": 3})
    assert set(Stopped.objects.values_list("reason", flat=True)) == {"given_up"}
    runs.finish_due()
    run.refresh_from_db()
    assert run.state == Run.State.DONE


def test_a_page_that_cannot_even_be_read_stays_and_says_what_to_do(provider: world.FakeSender) -> None:
    app = world.application()
    [person] = world.people(app, 1, "fcm")
    world.launch(app, people=[Named(person.pk)])
    Page.objects.update(people=b"\xc1")
    with pytest.raises(deadletters.CannotGiveUpError, match="cancel the run instead"):
        deadletters.give_up(bury(Page), by="eve")
    page = Page.objects.get()
    assert page.state == WorkState.DEAD and "DecodeError" in page.error


def test_what_is_dead_no_more_is_left_alone(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    run = world.launch(app)
    page = bury(Page)
    deadletters.requeue(page, by="eve")
    for act in (deadletters.requeue, deadletters.give_up):
        with pytest.raises(deadletters.NotDeadError):
            act(page, by="bob")
    work_all()
    assert check(run).outcomes == {"sent": 2}


def test_a_cancelled_run_takes_its_dead_letters_with_it(provider: world.FakeSender) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    run = world.launch(app)
    plan_one("normal")
    bury(Parcel)
    runs.cancel(run)
    assert check(run).outcomes == {"cancelled": 2}
    assert dbclock.now() - (Parcel.objects.get().closed_at or 0) < 5
