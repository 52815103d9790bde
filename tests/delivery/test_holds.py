"""Stop all: what is held waits whole, and goes on when it is resumed."""

from collections.abc import Callable

import pytest

from delivery import bell, holds, runs
from delivery.draining import plan_one
from delivery.models import Hold, Page
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]


def test_a_held_lane_stands_still_and_the_others_go_on(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    slow, quick = world.launch(app, lane="bulk"), world.launch(app, lane="critical")
    holds.stop(app, lane="bulk", by="eve")
    work_all()
    assert runs.progress(quick).outcomes == {"sent": 3}
    assert runs.progress(slow).audience == 0
    holds.resume(app, lane="bulk")
    work_all()
    assert runs.progress(slow).outcomes == {"sent": 3}


def test_parcels_that_are_planned_already_are_held_too(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    plan_one("normal")
    holds.stop(app)
    assert work_all() == 0 and runs.progress(run).waiting == 3
    holds.resume(app)
    work_all()
    assert runs.progress(run).outcomes == {"sent": 3}


def test_another_application_is_not_held(provider: world.FakeSender, work_all: Work) -> None:
    shop, bank = world.application("shop"), world.application("bank")
    world.device(world.subscriber(bank, "b"))
    run = world.launch(bank)
    holds.stop(shop)
    work_all()
    assert runs.progress(run).outcomes == {"sent": 1}


def test_bells_are_not_rung_for_what_is_held_and_resuming_rings_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    world.launch(app, lane="bulk")
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(bell, "ring", lambda stage, lane: heard.append((stage, lane)))
    holds.stop(app)
    Page.objects.update(due_at=0)
    assert bell.ring_due() == 0 and heard == []
    Page.objects.update(due_at=Page.objects.get().created_at)
    assert holds.resume(app) == [""]
    assert heard == [("plan", "bulk")]


def test_a_second_stop_keeps_the_first(db: None) -> None:
    app = world.application()
    first = holds.stop(app, by="eve", reason="wrong price")
    assert holds.stop(app, by="bob") == first
    assert Hold.objects.get().by == "eve"


def test_what_is_not_held_cannot_be_resumed(db: None) -> None:
    app = world.application()
    with pytest.raises(holds.NotHeldError, match="Nothing of Shop is stopped"):
        holds.resume(app)
    holds.stop(app)
    with pytest.raises(holds.NotHeldError, match="Every lane of Shop is stopped at once"):
        holds.resume(app, lane="bulk")
    holds.stop(app, lane="bulk")
    assert sorted(holds.resume(app)) == ["", "bulk"]


def test_there_is_no_hold_of_a_lane_that_there_is_not(db: None) -> None:
    with pytest.raises(ValueError, match="critical, high, normal, bulk"):
        holds.stop(world.application(), lane="fast")
