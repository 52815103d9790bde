"""Socket first, push on silence: one device is told once, by its socket if it answers, else by a push."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from redis.exceptions import RedisError

from delivery import dbclock, outbound, presence, receipts, runs, silence
from delivery.draining import plan_one, send_one
from delivery.log.store import log_store
from delivery.models import Parcel, Run
from delivery.outgoing import Outgoing
from delivery.positions import notification_id
from devices.models import Device, Subscriber
from tests.delivery import world

pytestmark = pytest.mark.django_db(databases=["default", "log"], transaction=True)
Work = Callable[[], int]


class Online:
    """Presence and the nodes, as a test wants them: which devices hold a socket, and what comes of writing to it."""

    def __init__(self) -> None:
        self.devices: set[bytes] = set()
        self.outcome = ("sent", "written")
        self.written: list[bytes] = []
        self.asked = 0

    def where(self, devices: list[bytes]) -> list[list[str]]:
        self.asked += 1
        return [["node"] if device in self.devices else [] for device in devices]

    def send(self, parcel: Parcel, outgoing: Outgoing) -> list[tuple[str, str]]:
        self.written += [target.device_uid for target in outgoing.targets]
        return [
            self.outcome if target.device_uid in self.devices else ("stored", "offline")
            for target in outgoing.targets
        ]

    def hold(self, *devices: Device) -> None:
        self.devices |= {device.uid.bytes for device in devices}


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Online:
    found = Online()
    monkeypatch.setattr(presence, "where", found.where)
    monkeypatch.setattr(outbound.sockets, "send", found.send)
    return found


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(dbclock, "now", lambda: time.time() + seconds)


def ack(run: Run, owner: Subscriber, device: Device, kind: str = "acknowledged") -> None:
    receipts.record(owner.uid, device.uid, [notification_id(run.uid, owner.uid)], kind)


def outcomes_of(run: Run, owner: Subscriber) -> list[tuple[UUID, str, str]]:
    rows = log_store().outcomes([(owner.pk, owner.uid)], run.uid)
    return [(row.device, row.outcome, row.reason) for row in rows]


def check(run: Run, **outcomes: int) -> None:
    balance = runs.balances(run)
    assert balance.faults == []
    assert balance.progress.complete
    assert balance.progress.outcomes == outcomes


@pytest.mark.parametrize("name", ["fcm", "apns"])
@pytest.mark.parametrize(("lane", "wait"), [("critical", 2), ("high", 5), ("normal", 15), ("bulk", 15)])
def test_a_device_that_acknowledges_on_its_socket_is_not_pushed_to(
    provider: world.FakeSender,
    online: Online,
    work_all: Work,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    lane: str,
    wait: int,
) -> None:
    app = world.application()
    [owner] = world.people(app, 1, name)
    phone = owner.devices.get()
    online.hold(phone)
    run = world.launch(app, lane=lane)
    work_all()
    assert online.written == [phone.uid.bytes], "the socket gets it at once"
    rest = Parcel.objects.get(state="waiting")
    assert (rest.provider, rest.size, rest.attempt) == (name, 1, 1)
    assert rest.due_at - rest.created_at == pytest.approx(wait, abs=0.01)
    assert runs.progress(run).balanced and runs.progress(run).waiting == 1
    ack(run, owner, phone)
    later(monkeypatch, wait + 0.1)
    work_all()
    check(run, sent=1)
    assert provider.sent == []
    assert outcomes_of(run, owner) == [(phone.uid, "sent", "acknowledged")]


def test_a_silent_device_is_pushed_to_when_its_wait_is_over(
    provider: world.FakeSender, online: Online, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    quick, silent = world.people(app, 2, "fcm")
    online.hold(quick.devices.get(), silent.devices.get())
    run = world.launch(app)
    work_all()
    ack(run, quick, quick.devices.get())
    assert not send_one("fcm", "normal")
    later(monkeypatch, 15.1)
    work_all()
    check(run, sent=2)
    assert [token for token, _ in provider.sent] == ["token-s1-fcm"]
    assert provider.sent[0][1] == notification_id(run.uid, silent.uid), "the same identity on the screen"


def test_devices_without_a_socket_are_pushed_to_at_once(
    provider: world.FakeSender, online: Online, work_all: Work
) -> None:
    app = world.application()
    people = world.people(app, 9)
    online.hold(people[0].devices.get(), people[2].devices.get())
    run = world.launch(app)
    work_all()
    assert {token for token, _ in provider.sent} == {
        f"token-s{n}-{name}" for n, name in ((1, "apns"), (3, "fcm"), (4, "apns"), (6, "fcm"), (7, "apns"))
    }
    assert online.asked == 1, "one question for the page"
    assert runs.progress(run).outcomes == {"sent": 6, "stored": 2}
    assert runs.progress(run).waiting == 1


def test_a_socket_that_has_gone_means_a_push_at_once(
    provider: world.FakeSender, online: Online, work_all: Work
) -> None:
    app = world.application()
    [owner] = world.people(app, 1, "fcm")
    online.hold(owner.devices.get())
    run = world.launch(app)
    plan_one("normal")
    online.devices.clear()
    work_all()
    check(run, sent=1)
    assert len(provider.sent) == 1


def test_a_node_that_does_not_answer_may_still_have_written_it(
    provider: world.FakeSender, online: Online, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    [owner] = world.people(app, 1, "fcm")
    online.hold(owner.devices.get())
    online.outcome = ("stored", "node_silent")
    run = world.launch(app)
    work_all()
    assert provider.sent == []
    later(monkeypatch, 15.1)
    work_all()
    check(run, sent=1)
    assert len(provider.sent) == 1


def test_what_expires_within_the_wait_ends_with_the_socket(
    provider: world.FakeSender, online: Online, work_all: Work
) -> None:
    app = world.application()
    [owner] = world.people(app, 1, "fcm")
    online.hold(owner.devices.get())
    run = world.launch(app, snapshot=world.snapshot(ttl=10))
    work_all()
    check(run, sent=1)
    assert outcomes_of(run, owner)[0][1:] == ("sent", "written")
    assert provider.sent == []


def test_who_opts_out_in_the_wait_is_not_pushed_to(
    provider: world.FakeSender, online: Online, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    [owner] = world.people(app, 1, "apns")
    online.hold(owner.devices.get())
    run = world.launch(app)
    work_all()
    owner.consent = False
    owner.save()
    later(monkeypatch, 15.1)
    work_all()
    check(run, cancelled=1)
    assert provider.sent == []


@pytest.mark.parametrize("kind", ["displayed", "read", "opened"])
@pytest.mark.parametrize("across", [True, False])
def test_another_device_spares_the_phone_only_where_the_campaign_says_so(
    provider: world.FakeSender,
    online: Online,
    work_all: Work,
    monkeypatch: pytest.MonkeyPatch,
    across: bool,
    kind: str,
) -> None:
    app = world.application()
    [owner] = world.people(app, 1, "fcm")
    screen = world.device(owner, "socket")
    online.hold(screen)
    run = world.launch(app, snapshot=world.snapshot(silence_across_devices=across))
    work_all()
    assert len(provider.sent) == (0 if across else 1), "the phone waits only for a campaign that says so"
    ack(run, owner, screen, kind)
    later(monkeypatch, 15.1)
    work_all()
    check(run, **({"sent": 1, "stored": 1} if across else {"sent": 2}))
    assert len(provider.sent) == (0 if across else 1)


def test_a_tv_left_on_in_an_empty_room_does_not_silence_the_phone(
    provider: world.FakeSender, online: Online, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.application()
    [owner] = world.people(app, 1, "fcm")
    tv = world.device(owner, "socket", platform="tv")
    online.hold(tv)
    run = world.launch(app, snapshot=world.snapshot(silence_across_devices=True))
    work_all()
    ack(run, owner, tv)
    later(monkeypatch, 15.1)
    work_all()
    check(run, sent=2)
    assert len(provider.sent) == 1


def test_without_redis_everybody_is_pushed_to_at_once(
    provider: world.FakeSender, online: Online, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(devices: Any) -> Any:
        raise RedisError("away")

    monkeypatch.setattr(presence, "where", lost)
    app = world.application()
    world.people(app, 3, "fcm")
    run = world.launch(app)
    work_all()
    check(run, sent=3)


def test_a_page_without_phones_asks_nobody(online: Online) -> None:
    sockets = Outgoing()
    assert silence.routes({("socket", 0.0): sockets}, "bulk", across=True) == [
        silence.Route("socket", sockets)
    ]
    assert silence.routes({}, "bulk", across=True) == []
    assert online.asked == 0


def test_the_bell_is_rung_as_soon_as_a_wait_is_over(
    provider: world.FakeSender, online: Online, work_all: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    from delivery import bell

    rung: list[tuple[str, str]] = []
    monkeypatch.setattr(bell, "ring", lambda stage, lane: rung.append((stage, lane)))
    app = world.application()
    [owner] = world.people(app, 1, "fcm")
    online.hold(owner.devices.get())
    world.launch(app, lane="critical")
    work_all()
    rung.clear()
    due_at = Parcel.objects.get(state="waiting").due_at
    monkeypatch.setattr(dbclock, "now", lambda: due_at - 0.1)
    bell.ring_due()
    assert rung == []
    monkeypatch.setattr(dbclock, "now", lambda: due_at + 0.1)
    bell.ring_due()
    assert rung == [("fcm", "critical")]
