"""The bell that the clock rings: for work that nobody has taken, and at once for work whose worker is gone."""

import time

import pytest

from delivery import bell
from delivery.models import Page, WorkState
from tests.delivery import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(bell, "ring", lambda stage, lane: heard.append((stage, lane)))
    return heard


@pytest.fixture
def page(rung: list[tuple[str, str]]) -> Page:
    """The first page of a run, due for ten seconds."""
    app = world.application()
    world.people(app, 1)
    run = world.launch(app)
    Page.objects.filter(run=run).update(due_at=time.time() - 10)
    return Page.objects.get(run=run)


def test_work_that_nobody_took_is_rung_for_after_a_moment(page: Page, rung: list[tuple[str, str]]) -> None:
    bell.ring_due()
    assert rung == [("plan", "normal")]
    Page.objects.update(due_at=time.time() - bell.OVERDUE / 2)
    bell.ring_due()
    assert len(rung) == 1, "whoever made it has rung for it just now"


def test_a_lease_that_has_just_ended_is_rung_for_at_once(page: Page, rung: list[tuple[str, str]]) -> None:
    Page.objects.update(state=WorkState.CLAIMED, lease_until=time.time() + 5)
    bell.ring_due()
    assert rung == []
    Page.objects.update(lease_until=time.time() - 0.1)
    bell.ring_due()
    assert rung == [("plan", "normal")]
