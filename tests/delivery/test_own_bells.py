"""Bells that ring where their work can be done: a worker takes it up itself, and the broker hears of what it cannot."""

import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.fixups.django import DjangoWorkerFixup

from delivery import bell, draining
from notifyhub import celery as wiring

Begin = Callable[[], object]


class Pool:
    """A worker's threads, which do what they are handed when the test says so."""

    def __init__(self) -> None:
        self.handed: list[Callable[[], object]] = []
        self.ended = False

    def apply_async(self, work: Callable[..., None], args: tuple[str, str], **_: Any) -> None:
        if self.ended:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.handed.append(lambda: work(*args))


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A worker that has the queues `high.plan`, `high.fcm` and `bulk.plan`, and hears its own bells."""
    made = Pool()
    amqp = SimpleNamespace(
        queues=SimpleNamespace(consume_from={"high.plan": None, "high.fcm": None, "bulk.plan": None})
    )
    worker: Any = SimpleNamespace(amqp=amqp, tasks=wiring.app.tasks)
    monkeypatch.setattr(draining, "_turns", {})
    monkeypatch.setattr(wiring, "close_old_connections", lambda: None)
    bell.answer_with(wiring._Own(worker, made))  # type: ignore[arg-type]
    yield made
    bell.answer_with(None)


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What went to the broker."""
    heard: list[tuple[str, str]] = []

    class Publisher:
        pid = os.getpid()

        def ring(self, stage: str, lane: str) -> None:
            heard.append((stage, lane))

    monkeypatch.setattr(bell, "_publisher", Publisher())
    return heard


def test_a_worker_takes_up_what_it_rang_for(
    pool: Pool, rung: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []
    monkeypatch.setattr("delivery.tasks.plan_one", worked.append)
    bell.ring("plan", "high")
    [begin] = pool.handed
    begin()
    assert worked == ["high"]
    assert rung == []
    bell.ring("plan", "high")
    assert len(pool.handed) == 2, "what is over can be begun again"


def test_what_is_going_on_already_is_rung_for_others_and_looked_at_once_more(
    pool: Pool, rung: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def step(lane: str) -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            bell.ring("plan", lane)
        return False

    monkeypatch.setattr("delivery.tasks.plan_one", step)
    bell.ring("plan", "high")
    bell.ring("plan", "high")
    assert rung == [("plan", "high")], "about to begin"
    bell.ring("plan", "high")
    assert rung == [("plan", "high")], "a moment ago"
    [begin] = pool.handed
    monkeypatch.setattr(wiring, "HELP_EVERY", 0.0)
    begin()
    assert looks == 2
    assert rung == [("plan", "high")] * 2, "going on"


def test_what_is_left_when_a_turns_time_is_over_is_begun_anew(
    pool: Pool, rung: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.tasks.plan_one", lambda lane: True)
    monkeypatch.setattr(draining, "BUDGET", -1.0)
    bell.ring("plan", "high")
    pool.handed.pop()()
    assert len(pool.handed) == 1
    pool.ended = True
    pool.handed.pop()()
    assert rung == [("plan", "high")], "the worker ends: the broker has it"


def test_other_queues_and_a_worker_that_ends_leave_it_to_the_broker(
    pool: Pool, rung: list[tuple[str, str]]
) -> None:
    bell.ring("plan", "critical")
    bell.ring("plan", "bulk")
    bell.ring("apns", "high")
    pool.ended = True
    bell.ring("plan", "high")
    assert rung == [("plan", "critical"), ("plan", "bulk"), ("apns", "high"), ("plan", "high")]
    assert not pool.handed


def test_an_error_in_a_workers_own_work_ends_nothing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(lane: str) -> bool:
        raise ValueError("cannot be read")

    monkeypatch.setattr("delivery.tasks.plan_one", step)
    bell.ring("plan", "high")
    pool.handed.pop()()
    bell.ring("plan", "high")
    assert len(pool.handed) == 1, "the turn is over"


def test_tasks_leave_their_threads_database_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    fixup = DjangoWorkerFixup(wiring.app)
    closed: list[bool] = []
    monkeypatch.setattr(fixup, "_close_database", lambda: closed.append(True))
    for _ in range(3):
        fixup.close_database()
    assert not closed
