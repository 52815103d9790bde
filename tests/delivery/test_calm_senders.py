"""Real senders, a real Redis and a fleet that fails in every way: nothing is lost, and the other provider goes on."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from delivery import allowance, checking, credentials, gates, runs
from delivery.draining import plan_one, send_one
from delivery.models import Credential, Gate, Run
from devices.models import Application, Device
from fleet.client import Fleet
from tests.delivery import world

pytestmark = [
    pytest.mark.server,
    pytest.mark.django_db(databases=["default", "log"], transaction=True),
    pytest.mark.usefixtures("nobody_online", "real_redis"),
]
TOPIC = "com.example.calm"
EACH = 60
"""Devices of each provider."""


@pytest.fixture(scope="module")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Path]]:
    folder = tmp_path_factory.mktemp("calm-fleet")
    with Fleet.start(folder) as fleet:
        yield fleet, folder


@pytest.fixture
def fleet(whole_fleet: tuple[Fleet, Path], settings: Any) -> Iterator[Fleet]:
    found, folder = whole_fleet
    settings.FLEET_FILE = folder / "fleet.json"
    settings.PAGE_PEOPLE = 2 * EACH
    settings.PAGE_PAUSE_MS = 0
    settings.PROVIDER_SECONDS = 1.5
    credentials.sender_for.cache_clear()
    credentials._cached.clear()
    yield found
    found.clear_faults()
    credentials.sender_for.cache_clear()
    credentials._cached.clear()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance always chooses a short wait."""
    monkeypatch.setattr(random, "random", lambda: 0.02)


@pytest.fixture
def app(fleet: Fleet) -> Application:
    """An application with as many phones at each provider of the fleet."""
    made = world.application()
    account = fleet.make_project("calm")["service_account"]
    key = fleet.make_apns_key(topics=[TOPIC])
    secret = {name: key[name] for name in ("private_key", "key_id", "team_id")}
    for name, what, chosen in (
        ("fcm", {"service_account": account}, {}),
        ("apns", secret, {"topic": TOPIC}),
    ):
        Credential.objects.create(
            application=made, provider=name, secret=what, settings=chosen, stands_in=True
        )
    tokens = {
        "fcm": fleet.make_fcm_devices(EACH, project="calm"),
        "apns": fleet.make_apns_devices(EACH, topic=TOPIC),
    }
    for name, some in tokens.items():
        for number, token in enumerate(some):
            world.device(world.subscriber(made, f"{name}{number}"), name, token=token)
    return made


@pytest.fixture
def launched(app: Application) -> Run:
    run = world.launch(app)
    plan_all()
    return run


def work(run: Run, done: Callable[[runs.Progress], bool], *, within: float = 15.0) -> runs.Progress:
    """Send what is due until the run has come so far, as workers do; waits are the hub's own."""
    until = time.monotonic() + within
    while True:
        some = [send_one(name, "normal") for name in ("fcm", "apns")]
        progress = runs.progress(run)
        if done(progress):
            return progress
        assert time.monotonic() < until, progress
        if not any(some):
            time.sleep(0.02)


def other_of(name: str) -> str:
    return "apns" if name == "fcm" else "fcm"


def arrived(fleet: Fleet, run: Run, name: str) -> int:
    return int(fleet.arrived(run=str(run.uid))[name]["distinct_messages"])


def plan_all() -> None:
    while plan_one("normal"):
        pass


def send_to(app: Application, name: str) -> None:
    """Launch a run for one provider's phones and see it through."""
    run = world.launch(app, snapshot=world.snapshot(platforms=["android" if name == "fcm" else "ios"]))
    plan_all()
    work(run, lambda progress: progress.outcomes.get("sent") == EACH)


def two_notices(fleet: Fleet, run: Run) -> int:
    """Count the phones on whose screens a run left more than one notice."""
    phones = list(Device.objects.values_list("token", flat=True))
    shown = fleet.arrived_for(phones, run=str(run.uid)).values()
    return sum(
        1
        for rows in shown
        if sum(1 if row["screen"]["identity"] else row["times"] for row in rows if row["screen"]) != 1
    )


def all_sent(progress: runs.Progress) -> bool:
    return progress.outcomes == {"sent": 2 * EACH}


def check(fleet: Fleet, run: Run) -> None:
    """Everybody was told, by both providers' own count, and the sums agree."""
    balance = runs.balances(run)
    assert balance.faults == []
    assert balance.progress.complete
    assert all_sent(balance.progress)
    assert arrived(fleet, run, "fcm") == arrived(fleet, run, "apns") == EACH
    assert Device.objects.filter(state=Device.State.ACTIVE).count() == 2 * EACH


BOTH = pytest.mark.parametrize("name", ["fcm", "apns"])


SPOILT = ("truncated", "html", "huge", "empty", "wrong_types", "broken_off")
PASSING: dict[str, dict[str, Any]] = {
    "503": {"status_5xx": {"status": 503, "count": 40}},
    "500 with Retry-After": {"status_5xx": {"status": 500, "count": 15, "retry_after": 1}},
    "429": {"quota_429": {"count": 5, "retry_after": 1}},
    "latency": {"latency": {"p50": 20, "p99": 300}},
    "all connections cut": {"cut_after": 25},
    "answers lost": {"lost_answers": 10},
    "GOAWAY in mid-batch": {"goaway": {"after": 10, "count": 3, "every": 10, "reason": "Shutdown"}},
    "GOAWAY and gone": {"goaway": {"after": 25, "abrupt": True}},
    "streams refused": {"reset_streams": {"code": "REFUSED_STREAM", "count": 20}},
    "streams reset": {"reset_streams": {"code": "INTERNAL_ERROR", "count": 20}},
    "two streams": {"most_streams": 2},
    **{f"answers spoilt: {how}": {"spoil": {"how": how, "count": 10, "megabytes": 1}} for how in SPOILT},
}
"""Faults that are over by themselves, or let everything through."""
SLOW = "reads next to nothing"
LASTING: dict[str, dict[str, Any]] = {
    "connections refused": {"refuse_connections": True},
    "silent": {"silent": True},
    SLOW: {"slow_read": 500},
    "answers nothing": {"lost_answers": 1_000_000},
}
"""Faults that stand until somebody ends them."""


@BOTH
@pytest.mark.parametrize("fault", [*PASSING, *LASTING])
def test_a_providers_fault_loses_nothing_and_is_no_matter_of_the_other(
    fleet: Fleet, app: Application, name: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = other_of(name)
    for each in (name, other):  # connections stand, as in a hub that has worked for a while
        send_to(app, each)
    if fault == SLOW:  # the fleet sips only after what comes first
        fleet.set_faults(name, **LASTING[fault])
        send_to(app, name)
    run = world.launch(app)
    plan_all()
    fleet.set_faults(name, **(PASSING | LASTING)[fault])
    began = time.monotonic()
    while send_one(other, "normal"):
        pass
    elsewhere = time.monotonic() - began
    assert arrived(fleet, run, other) == EACH, "the other provider's worker met nothing of it"
    if fault in LASTING:
        send_one(name, "normal")  # comes back in the time for an answer: no worker hangs on it
        assert runs.progress(run).outcomes.get("sent", 0) < 2 * EACH
        fleet.clear_faults()
    healed = time.monotonic()
    work(run, all_sent)
    recovery = time.monotonic() - healed
    check(fleet, run)
    counted = {each: fleet.arrived(run=str(run.uid))[each] for each in (name, other)}
    assert counted[other]["repeats"] == 0
    assert counted[name]["repeats"] <= 3 * EACH
    assert two_notices(fleet, run) == 0, "a repeat replaces what it repeats"
    assert gates.state(app.pk, other).state == Gate.State.OPEN
    assert allowance.streams_of(app.pk, other) == settings.STREAMS
    with capsys.disabled():
        print(
            f"\n{name}, {fault}: recovered in {recovery:.2f} s, {counted[name]['repeats']} repeats; "
            f"meanwhile {other} sent {EACH} in {elsewhere:.2f} s"
        )


@BOTH
def test_the_other_provider_goes_on_while_one_refuses_connections(
    fleet: Fleet, app: Application, launched: Run, name: str
) -> None:
    fleet.set_faults(name, refuse_connections=True)
    begun = time.monotonic()
    work(launched, lambda progress: progress.outcomes == {"sent": EACH})
    assert time.monotonic() - begun < 3, "nobody waited for the one that is away"
    assert (arrived(fleet, launched, name), arrived(fleet, launched, other_of(name))) == (0, EACH)
    gate = gates.state(app.pk, name)
    assert gate.state in (Gate.State.SLOWED, Gate.State.OPEN)
    assert gates.state(app.pk, other_of(name)).state == Gate.State.OPEN
    assert (
        allowance.streams_of(app.pk, name) < allowance.streams_of(app.pk, other_of(name)) == settings.STREAMS
    )
    fleet.clear_faults()
    work(launched, all_sent)
    check(fleet, launched)


@BOTH
def test_refused_credentials_shut_one_gate_until_a_check_finds_them_accepted(
    fleet: Fleet, app: Application, launched: Run, name: str, real_redis: redis.Redis
) -> None:
    fleet.set_faults(name, refuse_credentials=True)
    work(launched, lambda progress: progress.outcomes == {"sent": EACH})
    gate = gates.state(app.pk, name)
    assert gate.state == Gate.State.SHUT
    found = checking.check(Credential.objects.get(application=app, provider=name))
    assert not found.accepted and found.code
    real_redis.flushall()
    assert not send_one(name, "normal"), "a shut gate does not open because Redis forgot"
    fleet.clear_faults()
    assert not send_one(name, "normal"), "it opens when somebody says so"
    found = checking.check(Credential.objects.get(application=app, provider=name))
    assert (found.accepted, "open again" in found.sentence) == (True, True)
    work(launched, all_sent)
    check(fleet, launched)


@BOTH
def test_tokens_of_another_app_pause_the_run_and_retire_nobody(
    fleet: Fleet, app: Application, name: str
) -> None:
    strangers = (
        fleet.make_fcm_devices(EACH, project="stranger")
        if name == "fcm"
        else fleet.make_apns_devices(EACH, topic=TOPIC, environment="sandbox")
    )
    right = dict(Device.objects.filter(provider=name).values_list("pk", "token"))
    for pk, token in zip(right, strangers, strict=True):
        Device.objects.filter(pk=pk).update(token=token)
    run = world.launch(app)
    while plan_one("normal"):
        pass
    while send_one(other_of(name), "normal") or send_one(name, "normal"):
        pass
    run.refresh_from_db()
    assert (run.state, run.brake) == (Run.State.PAUSED, Run.Brake.TRIPPED)
    assert f"{EACH} of {EACH} tokens were refused" in run.reason
    assert Device.objects.filter(state=Device.State.RETIRED).count() == 0
    progress = runs.progress(run)
    assert (progress.outcomes, progress.waiting) == ({"sent": EACH}, EACH)


def test_a_small_quota_spreads_a_run_over_its_minutes_and_leaves_room_for_the_urgent(
    fleet: Fleet, app: Application, launched: Run
) -> None:
    Credential.objects.filter(provider="fcm").update(settings={"per_minute": 50})
    credentials._cached.clear()
    begun = time.monotonic()
    progress = work(launched, lambda progress: progress.outcomes.get("sent", 0) >= EACH + 42)
    assert not send_one("fcm", "normal")
    assert time.monotonic() - begun < 5, "no worker slept"
    assert (progress.outcomes, progress.waiting) == ({"sent": EACH + 42}, EACH - 42), "85 % of the minute"
    urgent = world.launch(app, lane="critical", snapshot=world.snapshot(platforms=["android"]))
    while plan_one("critical"):
        pass
    while send_one("fcm", "critical"):
        pass
    assert runs.progress(urgent).outcomes == {"no_device": EACH, "sent": 8}, "all of the minute"
    assert arrived(fleet, launched, "fcm") + arrived(fleet, urgent, "fcm") == 50
    assert runs.progress(launched).balanced and runs.progress(urgent).balanced
