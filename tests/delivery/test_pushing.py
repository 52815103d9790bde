"""Calm senders: quotas, streams, outages, the brake; nothing sleeps, nothing is lost, nobody is retired by mistake."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from delivery import allowance, gates, pushing, retrying, runs
from delivery.allowance import Allowance, Quota
from delivery.draining import send_one
from delivery.models import Gate, Parcel, Run
from delivery.senders.contract import Verdict
from devices.models import Device
from tests.delivery import world

pytestmark = [
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online"),
]
Work = Callable[[], int]
OF = {"fcm": "sender_id_mismatch", "apns": "bad_device_token"}
BOTH = pytest.mark.parametrize("name", ["fcm", "apns"])


@pytest.fixture(autouse=True)
def pages(settings: Any) -> None:
    settings.PAGE_PEOPLE = 100
    settings.PAGE_PAUSE_MS = 0


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> list[Allowance]:
    """What the next parcels may send; when it is empty, all."""
    answers: list[Allowance] = []

    def take(app: int, provider: str, lane: str, wanted: int, quota: Quota) -> Allowance:
        return answers.pop(0) if answers else Allowance(wanted, 0.0, 500, 0)

    monkeypatch.setattr(pushing.allowance, "take", take)
    return answers


def balanced(run: Run) -> runs.Progress:
    found = runs.balances(run)
    assert found.faults == []
    assert found.progress.balanced
    return found.progress


def again(work_all: Work) -> int:
    """Work on as if all waits were over."""
    Parcel.objects.update(due_at=0)
    Gate.objects.filter(state=Gate.State.SLOWED).update(state=Gate.State.OPEN)
    return work_all()


# -- quotas


def test_the_part_that_the_quota_has_room_for_is_sent_and_the_rest_waits(
    provider: world.FakeSender, work_all: Work, allowed: list[Allowance]
) -> None:
    app = world.application()
    world.people(app, 10, "fcm")
    run = world.launch(app)
    allowed += [Allowance(4, 30.0, 250, 0)]
    begun = time.time()
    work_all()
    assert time.time() - begun < 5, "no worker slept"
    assert (len(provider.sent), provider.streams) == (4, [250])
    rest = Parcel.objects.get(state="waiting")
    assert (rest.size, rest.attempt) == (6, 1), "to wait for a token is no attempt"
    assert 25 < rest.due_at - begun < 35
    assert balanced(run).waiting == 6
    again(work_all)
    assert balanced(run).outcomes == {"sent": 10}
    assert len(set(provider.sent)) == len(provider.sent) == 10


def test_a_parcel_that_gets_no_token_goes_back_untouched(
    provider: world.FakeSender, work_all: Work, allowed: list[Allowance]
) -> None:
    app = world.application()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    allowed += [Allowance(0, 12.0, 500, 0)] * 30
    work_all()
    for _ in range(29):  # more often than a page or parcel may be claimed
        again(work_all)
    assert (provider.envelopes, balanced(run).waiting) == ([], 3)
    again(work_all)
    assert balanced(run).outcomes == {"sent": 3}


def test_what_cannot_wait_for_its_token_expires_at_once(
    provider: world.FakeSender, work_all: Work, allowed: list[Allowance]
) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    run = world.launch(app, snapshot=world.snapshot(ttl=20))
    allowed += [Allowance(1, 40.0, 500, 0)]
    work_all()
    assert balanced(run).outcomes == {"sent": 1, "expired": 1}


def test_what_the_provider_does_not_count_is_given_back(
    provider: world.FakeSender, work_all: Work, allowed: list[Allowance], monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[int] = []
    monkeypatch.setattr(pushing.allowance, "give_back", lambda taken, unused: returned.append(unused))
    app = world.application()
    world.people(app, 3, "fcm")
    provider.answers = {
        "token-s0-fcm": {"verdict": Verdict.SLOW, "reason": "quota_exceeded", "retry_after": 60.0},
        "token-s1-fcm": {
            "verdict": Verdict.SLOW,
            "reason": "quota_exceeded",
            "retry_after": 60.0,
            "left": False,
        },
        "token-s2-fcm": {"verdict": Verdict.FAILED, "reason": "invalid_argument"},
    }
    world.launch(app)
    work_all()
    assert returned == [2], "an error of ours counts, a 429 and what was never sent do not"


# -- waves


@BOTH
def test_retry_after_of_a_used_up_quota_slows_one_gate_and_uses_up_no_attempt(
    provider: world.FakeSender, work_all: Work, name: str
) -> None:
    app = world.application()
    world.people(app, 6, "fcm apns")
    slow = {"verdict": Verdict.SLOW, "reason": "quota", "retry_after": 90.0}
    provider.answers = {f"token-s{number}-{name}": slow for number in range(6)}
    run = world.launch(app)
    work_all()
    other = "apns" if name == "fcm" else "fcm"
    assert gates.state(app.pk, name).state == Gate.State.SLOWED
    assert gates.state(app.pk, other).state == Gate.State.OPEN
    assert balanced(run).outcomes == {"sent": 3}
    rest = Parcel.objects.get(state="waiting")
    assert rest.attempt == 1
    assert 80 < rest.due_at - time.time() <= 90
    for _ in range(retrying.MAX_ATTEMPTS + 2):
        again(work_all)
    assert balanced(run).waiting == 3, "it ends with its time, not with the attempts"
    provider.answers = {}
    again(work_all)
    assert balanced(run).outcomes == {"sent": 6}


@BOTH
def test_a_provider_that_cannot_be_reached_loses_nothing_and_slows_no_other(
    provider: world.FakeSender, work_all: Work, name: str
) -> None:
    app = world.application()
    world.people(app, 6, "fcm apns")
    away = {"verdict": Verdict.RETRY, "reason": "unreachable", "left": False}
    provider.answers = {f"token-s{number}-{name}": away for number in range(6)}
    run = world.launch(app)
    work_all()
    gate = gates.state(app.pk, name)
    assert (gate.state, "cannot be reached" in gate.reason) == (Gate.State.SLOWED, True)
    assert balanced(run).outcomes == {"sent": 3}
    for _ in range(retrying.MAX_ATTEMPTS + 2):
        again(work_all)
    assert balanced(run).waiting == 3
    provider.answers = {}
    again(work_all)
    assert balanced(run).outcomes == {"sent": 6}


def test_a_wave_of_refusals_for_now_halves_the_streams_and_leaves_the_provider_alone(
    provider: world.FakeSender, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    waves: list[Allowance] = []

    def halve(app: int, name: str, taken: Allowance) -> int:
        waves.append(taken)
        return len(waves)

    monkeypatch.setattr(allowance, "came_in_waves", halve)
    app = world.application()
    world.people(app, 30, "fcm")
    provider.default = {"verdict": Verdict.RETRY, "reason": "unavailable"}
    run = world.launch(app)
    work_all()
    assert len(waves) == 1
    assert gates.state(app.pk, "fcm").state == Gate.State.SLOWED
    provider.default = {"verdict": Verdict.SENT}
    again(work_all)
    assert balanced(run).outcomes == {"sent": 30}


@pytest.mark.parametrize("reason", sorted(pushing.ONE_DEVICE))
def test_refusals_about_single_devices_say_nothing_about_the_provider(
    provider: world.FakeSender, work_all: Work, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "came_in_waves", lambda *_: pytest.fail("no wave"))
    app = world.application()
    world.people(app, 30, "fcm")
    provider.default = {"verdict": Verdict.RETRY, "reason": reason}
    world.launch(app)
    work_all()
    assert gates.state(app.pk, "fcm").state == Gate.State.OPEN


def test_a_message_that_expires_before_its_retry_after_is_not_kept(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    provider.answers = {
        "token-s0-fcm": {"verdict": Verdict.RETRY, "reason": "unavailable", "retry_after": 100.0},
        "token-s1-fcm": {"verdict": Verdict.RETRY, "reason": "unavailable"},
    }
    run = world.launch(app, snapshot=world.snapshot(ttl=50))
    work_all()
    progress = balanced(run)
    assert (progress.outcomes, progress.waiting) == ({"expired": 1}, 1)
    rest = Parcel.objects.get(state="waiting")
    assert rest.expires_at is not None
    assert rest.due_at < rest.expires_at, "its own retry comes before its end"


def test_one_messages_retry_after_holds_up_no_other(provider: world.FakeSender, work_all: Work) -> None:
    app = world.application()
    world.people(app, 2, "fcm")
    provider.answers = {
        "token-s0-fcm": {"verdict": Verdict.RETRY, "reason": "unavailable", "retry_after": 1000.0},
        "token-s1-fcm": {"verdict": Verdict.RETRY, "reason": "unavailable"},
    }
    world.launch(app)
    work_all()
    soon, late = Parcel.objects.filter(state="waiting").order_by("due_at")
    assert (soon.size, late.size) == (1, 1)
    assert soon.due_at < time.time() + 5 < 990 + time.time() < late.due_at


# -- the brake


def refuse(provider: world.FakeSender, name: str, count: int, reason: str) -> None:
    for number in range(count):
        provider.answers[f"token-s{number}-{name}"] = {"verdict": Verdict.DEAD, "reason": reason}


@BOTH
def test_a_wave_of_refused_tokens_pauses_the_run_and_retires_nobody(
    provider: world.FakeSender, work_all: Work, name: str
) -> None:
    app = world.application()
    world.people(app, 60, name)
    refuse(provider, name, 12, OF[name])
    run = world.launch(app)
    work_all()
    run.refresh_from_db()
    assert (run.state, run.brake) == (Run.State.PAUSED, Run.Brake.TRIPPED)
    assert run.reason.startswith(f"12 of 60 tokens were refused ({OF[name]}): ")
    assert "check that" in run.reason
    assert Device.objects.filter(state=Device.State.ACTIVE).count() == 60
    progress = balanced(run)
    assert (progress.outcomes, progress.waiting) == ({"sent": 48}, 12)
    assert work_all() == 0

    provider.answers = {}  # somebody has put it right
    runs.resume(run)
    work_all()
    assert balanced(run).outcomes == {"sent": 60}
    run.refresh_from_db()
    assert (run.state, run.reason) == (Run.State.RUNNING, "")


def test_a_wave_of_what_firebase_may_not_hand_on_pauses_the_run_too(
    provider: world.FakeSender, work_all: Work
) -> None:
    app = world.application()
    world.people(app, 60, "fcm")
    for number in range(12):
        provider.answers[f"token-s{number}-fcm"] = {
            "verdict": Verdict.FAILED,
            "reason": "third_party_auth_error",
        }
    run = world.launch(app)
    work_all()
    run.refresh_from_db()
    assert (run.state, run.brake) == (Run.State.PAUSED, Run.Brake.TRIPPED)
    assert "check the APNs key" in run.reason
    assert (balanced(run).outcomes, balanced(run).waiting) == ({"sent": 48}, 12)


@BOTH
def test_resumed_without_a_remedy_it_pauses_again_until_staff_retires_the_devices(
    provider: world.FakeSender, work_all: Work, name: str
) -> None:
    app = world.application()
    world.people(app, 60, name)
    refuse(provider, name, 12, OF[name])
    run = world.launch(app)
    work_all()
    run.refresh_from_db()
    runs.resume(run)
    work_all()
    run.refresh_from_db()
    assert (run.state, balanced(run).waiting) == (Run.State.PAUSED, 12)
    runs.resume(run, retire_anyway=True)
    work_all()
    assert balanced(run).outcomes == {"sent": 48, "failed": 12}
    assert Device.objects.filter(state=Device.State.RETIRED).count() == 12


@pytest.mark.parametrize(
    ("people", "refused", "reason"),
    [
        (60, 11, "sender_id_mismatch"),  # too small a share
        (49, 49, "sender_id_mismatch"),  # too few to judge by
        (60, 60, "unregistered"),  # the provider knows them as uninstalled
    ],
)
def test_what_is_no_wave_retires_as_ever(
    provider: world.FakeSender, work_all: Work, people: int, refused: int, reason: str
) -> None:
    app = world.application()
    world.people(app, people, "fcm")
    refuse(provider, "fcm", refused, reason)
    run = world.launch(app)
    work_all()
    assert balanced(run).outcomes.get("failed") == refused
    assert Device.objects.filter(state=Device.State.RETIRED).count() == refused


def test_small_parcels_are_judged_together(provider: world.FakeSender, work_all: Work, settings: Any) -> None:
    settings.PAGE_PEOPLE = 10
    app = world.application()
    world.people(app, 80, "fcm")
    refuse(provider, "fcm", 80, "sender_id_mismatch")
    run = world.launch(app)
    work_all()
    run.refresh_from_db()
    assert run.state == Run.State.PAUSED
    assert Device.objects.filter(state=Device.State.RETIRED).count() == 40, "those before the window was full"
    balanced(run)


def test_one_runs_brake_stops_no_other(provider: world.FakeSender, work_all: Work) -> None:
    app, other = world.application(), world.application("other")
    world.people(app, 60, "fcm")
    refuse(provider, "fcm", 60, "sender_id_mismatch")
    world.device(world.subscriber(other, "fine"), token="fine")
    world.launch(app)
    run = world.launch(other)
    work_all()
    assert balanced(run).outcomes == {"sent": 1}
    assert not send_one("fcm", "normal")
