"""How fast a run goes, how much is left, and what became of it provider by provider."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from delivery import runs
from delivery.draining import plan_one, send_one
from delivery.models import Parcel, Run, Shard
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]


@pytest.fixture(autouse=True)
def small_pages(settings: Any) -> None:
    settings.PAGE_PEOPLE = 10
    settings.PAGE_PAUSE_MS = 0


def begun(run: Run, *, seconds: float) -> Run:
    run.started_at = timezone.now() - timedelta(seconds=seconds)
    run.save(update_fields=["started_at"])
    return run


def pace(run: Run) -> runs.Pace:
    return runs.pace(run, runs.progress(run))


def test_the_rate_is_of_the_last_ten_seconds(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 40, "fcm")
    run = begun(world.launch(app), seconds=100)
    work_all()
    Parcel.objects.update(closed_at=time.time())
    assert pace(run).rate == 4.0
    first = Parcel.objects.order_by("pk").first()
    Parcel.objects.filter(pk=first and first.pk).update(closed_at=time.time() - 60)
    assert pace(run).rate == 3.0


def test_a_run_that_has_just_begun_is_measured_over_its_own_time(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 20, "fcm")
    run = world.launch(app)
    work_all()
    begun(run, seconds=4)
    Parcel.objects.update(closed_at=time.time())
    assert pace(run).rate == pytest.approx(5.0, rel=0.1)


def test_the_time_left_counts_what_is_not_planned_yet(provider: world.FakeSender) -> None:
    app = world.application()
    world.people(app, 40, "fcm")
    run = begun(world.launch(app), seconds=100)
    plan_one("normal")
    assert pace(run).seconds_left is None, "nothing has moved yet"
    send_one("fcm", "normal")
    Parcel.objects.filter(state="done").update(closed_at=time.time())
    assert Shard.objects.get().exhausted is False
    now = pace(run)
    assert (now.rate, now.planned) == (1.0, 0.25)
    assert now.seconds_left == pytest.approx(30.0)


def test_a_run_that_is_over_has_no_time_left(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 4, "fcm")
    run = world.launch(app)
    work_all()
    assert (pace(run).planned, pace(run).seconds_left) == (1.0, 0.0)


def test_outcomes_are_told_provider_by_provider(provider: world.FakeSender) -> None:
    app = world.application()
    world.people(app, 9, "fcm apns socket")
    run = world.launch(app)
    plan_one("normal")
    send_one("fcm", "normal")
    send_one("socket", "normal")
    assert runs.by_provider(run) == {"apns": {"waiting": 3}, "fcm": {"sent": 3}, "socket": {"stored": 3}}
