"""Work that fails is given back, with what went wrong, later each time, and in the end set aside."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, InterfaceError, OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from delivery import claims, draining, runs
from delivery.models import Page, Parcel, WorkState
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]


def poison(monkeypatch: pytest.MonkeyPatch, name: str, key: int, error: Exception) -> None:
    """Make the work on one piece raise, and on no other."""
    real = getattr(draining, name)
    monkeypatch.setattr(claims, "backoff", lambda tries: 60.0)  # longer than any test takes

    def work(piece: Any) -> None:
        if piece.pk == key:
            raise error
        real(piece)

    monkeypatch.setattr(draining, name, work)


def test_a_poison_page_waits_with_its_error_while_the_others_go_on(
    provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    bad, good = world.launch(app), world.launch(app)
    page = Page.objects.get(run=bad)
    poison(monkeypatch, "work_page", page.pk, ValueError("cannot be read"))
    before = time.time()
    work_all()
    page.refresh_from_db()
    assert (page.state, page.tries, page.lease_until) == (WorkState.WAITING, 1, 0)
    assert page.due_at > before
    assert page.error.strip().endswith("ValueError: cannot be read") and "Traceback" in page.error
    assert runs.progress(good).outcomes == {"sent": 2}


def test_poison_is_dead_after_as_many_tries_as_there_are_and_is_tried_no_more(
    provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    run = world.launch(app)
    page = Page.objects.get()
    poison(monkeypatch, "work_page", page.pk, ValueError("cannot be read"))
    tried = 0
    while work_all():
        tried += 1
        Page.objects.filter(state=WorkState.WAITING).update(due_at=0)
    page.refresh_from_db()
    assert (page.state, tried) == (WorkState.DEAD, claims.MAX_CLAIMS)
    assert "cannot be read" in page.error
    assert runs.finish_due() == 0 and not runs.progress(run).planned


def test_a_parcel_that_fails_is_sent_when_its_fault_is_mended(
    provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    draining.plan_one("normal")
    with monkeypatch.context() as broken:
        poison(broken, "work_parcel", Parcel.objects.get().pk, KeyError("x"))
        work_all()
    parcel = Parcel.objects.get()
    assert (parcel.state, parcel.tries) == (WorkState.WAITING, 1) and "KeyError" in parcel.error
    Parcel.objects.update(due_at=0)
    work_all()
    assert runs.progress(run).outcomes == {"sent": 3}


def test_a_server_that_is_away_costs_the_work_no_try(
    provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    world.launch(app)
    page = Page.objects.get()
    poison(monkeypatch, "work_page", page.pk, RedisConnectionError("refused"))
    for _ in range(claims.MAX_CLAIMS + 2):
        assert work_all() == 1
        Page.objects.update(due_at=0)
    page.refresh_from_db()
    assert (page.state, page.tries) == (WorkState.WAITING, 0) and "refused" in page.error


def of_sqlite(text: str) -> OperationalError:
    import sqlite3

    error = OperationalError(text)
    error.__cause__ = sqlite3.OperationalError(text)
    return error


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (OperationalError("the server closed the connection"), True),
        (InterfaceError("connection already closed"), True),
        (ConnectionRefusedError("refused"), True),
        (TimeoutError("late"), True),
        (of_sqlite("database is locked"), True),
        (of_sqlite("too many SQL variables"), False),
        (DataError("out of range"), False),
        (ValueError("no"), False),
    ],
)
def test_what_a_server_causes_is_told_from_what_the_work_causes(error: Exception, outage: bool) -> None:
    assert draining.is_outage(error) is outage


def test_work_that_somebody_else_has_claimed_since_is_left_alone(
    provider: world.FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    world.launch(app)

    def overtaken(page: Page) -> None:
        Page.objects.update(fence=99, worker="another")
        raise ValueError("too late")

    monkeypatch.setattr(draining, "work_page", overtaken)
    assert draining.plan_one("normal")
    page = Page.objects.get()
    assert (page.state, page.worker, page.error) == (WorkState.CLAIMED, "another", "")


def test_nobody_looks_in_vain_after_the_last_piece(
    provider: world.FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    world.people(app, 1, "fcm")
    world.launch(app), world.launch(app)
    looks: list[draining.Step] = []

    def look() -> draining.Step:
        looks.append(draining.plan_one("normal"))
        return looks[-1]

    draining.drain("plan", "normal", look)
    assert looks == [draining.Step.MORE, draining.Step.LAST]
    assert not draining.plan_one("normal")


def test_a_bell_that_rang_meanwhile_means_another_look() -> None:
    looks: list[draining.Step] = []

    def look() -> draining.Step:
        looks.append(draining.Step.LAST)
        if len(looks) == 1:
            draining.drain("plan", "high", look)  # as a thread that heard the bell would
        return looks[-1]

    draining.drain("plan", "high", look)
    assert len(looks) == 2
