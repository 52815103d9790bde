"""GitHub's webhooks as events: all are decided, and maintainers hear of what concerns them, each thing once."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from campaigns import rulebook
from campaigns.engine import decide
from delivery.lanes import LANES
from devices import keys
from devices.models import Application
from fleet.client import Fleet
from tests.api_world import Caller
from tests.delivery import conftest as delivery_fixtures
from tests.delivery.world import FakeSender
from tests.pipeline import webhooks
from tests.pipeline.live_hub import LiveHub

provider = delivery_fixtures.provider
nobody_online = delivery_fixtures.nobody_online
work_all = delivery_fixtures.work_all
Work = Callable[[], int]

PLATFORMS = {"fcm": "android", "apns": "ios", "socket": "web"}
DEVICES = len(PLATFORMS)
"""Every maintainer has a phone of either kind and a browser."""
PROJECT, TOPIC = "notifyhub-demo", "com.example.demo"
"""What the demo's credentials are for."""


@pytest.fixture(autouse=True)
def fresh_rules() -> Iterator[None]:
    """Rules of an earlier test are not remembered."""
    rulebook.forget()
    yield
    rulebook.forget()


def register(api: webhooks.Api, login: str, provider: str, token: str = "") -> UUID:
    """Register a device of a maintainer and return its id."""
    device = uuid4()
    values = {"subscriber": login, "provider": provider, "platform": PLATFORMS[provider], "locale": "en"}
    api("PUT", f"devices/{device}", values | ({"token": token} if token else {}))
    return device


def check_kept(kept: dict[str, Any], due: webhooks.Due) -> None:
    """Every event has its one decision, as due, and the runs' balances hold."""
    assert {(name, reason): count for name, reason, count in kept["decisions"]} == due.decisions
    assert kept["events"] == kept["decided"] == due.decisions.total()
    assert kept["faults"] == []
    messages = sum(sum(outcomes.values()) for outcomes in kept["outcomes"].values())
    assert messages == due.notifications * DEVICES


def read_titles(read: Callable[[str], Any], login: str, mint: webhooks.Api) -> Counter[str]:
    """Return the titles in a maintainer's inbox as a device of theirs pulls it; `read` takes its token."""
    [device, *_] = mint("GET", f"devices?subscriber={login}")["items"]
    inbox = read(mint("POST", "tokens", {"subscriber": login, "device": device["id"]})["token"])
    assert inbox["next"] is None
    return Counter(entry["title"] for entry in inbox["entries"])


def answered(caller: Caller) -> webhooks.Api:
    """Return a caller of the API in this process that gives the answers' documents."""

    def call(method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        answer = caller(method, path, body, kind=kind)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.content!r}"
        return answer.json()

    return call


@pytest.mark.django_db(databases=["default", "log"], transaction=True)
@pytest.mark.usefixtures("nobody_online")
@pytest.mark.parametrize("path", webhooks.FILES.values(), ids=webhooks.FILES.keys())
def test_maintainers_hear_of_their_repositories_once_however_often_the_webhooks_come(
    path: Path, provider: FakeSender, work_all: Work
) -> None:
    deliveries = webhooks.read(path)
    due = webhooks.due(deliveries)
    application = Application.objects.create(name="Forge", slug="forge", locale="en")
    api = answered(Caller(keys.mint(application, name="bridge", scopes=keys.SCOPES)[1]))
    webhooks.set_up(api, deliveries)
    owners = {}
    for login in due.titles:
        register(api, login, "socket")
        for name, token in (
            ("fcm", f"phone-of-{login}"),
            ("apns", hashlib.sha256(login.encode()).hexdigest()),
        ):
            register(api, login, name, token)
            owners[token] = login

    def work() -> int:
        decided = sum(sum(iter(partial(decide, lane), 0)) for lane in LANES)
        return decided + work_all()

    assert webhooks.post(api, deliveries) == {"accepted": len(deliveries)}
    assert work()
    kept = webhooks.settled(within=0)
    check_kept(kept, due)
    arrived = Counter(owners[token] for token, _ in provider.sent)
    assert arrived == Counter({login: 2 * titles.total() for login, titles in due.titles.items()})
    assert len(set(provider.sent)) == len(provider.sent)
    for login, titles in due.titles.items():
        assert read_titles(lambda token: answered(Caller(token))("GET", "inbox"), login, api) == titles

    assert webhooks.post(api, deliveries) == {"repeated": len(deliveries)}
    assert work() == 0
    assert webhooks.settled(within=0) == kept
    assert arrived.total() == len(provider.sent)


def concerns(delivery: webhooks.Delivery, due: webhooks.Due) -> bool:
    """Whether some maintainer is to hear of a delivery."""
    told = webhooks.told(delivery)
    return told is not None and not due.titles.keys().isdisjoint(told[0])


def connect_devices(hub: LiveHub, logins: list[str]) -> dict[str, str]:
    """Give every maintainer their devices at the fleet, and return whose each is by its name there."""
    count = len(logins)
    phones = {
        "fcm": hub.fleet.make_fcm_devices(count, project=PROJECT),
        "apns": hub.fleet.make_apns_devices(count, topic=TOPIC),
    }
    owners, browsers = {}, []
    for index, login in enumerate(logins):
        for name, tokens in phones.items():
            register(hub.api, login, name, tokens[index])
            owners[tokens[index]] = login
        browser = str(register(hub.api, login, "socket"))
        owners[browser] = login
        minted = hub.api("POST", "tokens", {"subscriber": login, "device": browser})
        browsers.append((minted["token"], browser))
    greeted = hub.fleet.sockets()["hello"]
    hub.fleet.open_sockets(hub.socket_url, browsers)
    deadline = time.monotonic() + 30
    while hub.fleet.sockets()["hello"] < greeted + count:
        assert time.monotonic() < deadline, hub.fleet.sockets()
        time.sleep(0.05)
    return owners


def check_arrived(fleet: Fleet, due: webhooks.Due, owners: dict[str, str]) -> None:
    """Every device of a maintainer gets what is due to them, and each notification once."""
    for device, login in owners.items():
        fleet.wait(token=device, at_least=due.titles[login].total(), timeout=30)
    arrived = fleet.arrived_for(owners)
    assert {device: len(rows) for device, rows in arrived.items()} == {
        device: due.titles[login].total() for device, login in owners.items()
    }
    assert all(row["times"] == 1 for rows in arrived.values() for row in rows)


def settled(hub: LiveHub) -> dict[str, Any]:
    """Return what a running hub has kept of the webhooks, once nothing waits."""
    program = "import json; from tests.pipeline import webhooks; print(json.dumps(webhooks.settled()))"
    kept: dict[str, Any] = json.loads(hub.manage("shell", "-c", program).splitlines()[-1])
    return kept


@pytest.mark.server
def test_a_running_hub_brings_the_webhooks_to_every_device_once(live_hub: LiveHub) -> None:
    deliveries = webhooks.read(list(webhooks.FILES.values())[-1])
    due = webhooks.due(deliveries)
    api, fleet = live_hub.api, live_hub.fleet
    webhooks.set_up(api, deliveries)
    owners = connect_devices(live_hub, list(due.titles))

    assert webhooks.post(api, deliveries) == {"accepted": len(deliveries)}
    check_arrived(fleet, due, owners)
    kept = settled(live_hub)
    check_kept(kept, due)
    assert {name for outcomes in kept["outcomes"].values() for name in outcomes} == {"sent"}
    at_fleet = [fleet.arrived(run=run)["total"]["distinct_messages"] for run in kept["outcomes"]]
    assert sum(at_fleet) == due.notifications * DEVICES
    for login, titles in due.titles.items():
        assert read_titles(lambda token: live_hub.api("GET", "inbox", secret=token), login, api) == titles

    assert webhooks.post(api, deliveries) == {"repeated": len(deliveries)}
    # One more of each kind comes after whatever the repeats might have led to.
    for name in webhooks.RULES:
        more = next(each for each in deliveries if each.type == name and concerns(each, due))
        assert api("POST", "events", more.event(again="again"))["accepted"] == 1
        deliveries.append(more)
    due = webhooks.due(deliveries)
    check_arrived(fleet, due, owners)
    check_kept(settled(live_hub), due)
    assert "all balanced" in live_hub.manage("doctor", "ledger")
