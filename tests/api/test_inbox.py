"""The inbox, receipts and tokens by the API: a device pulls its subscriber's log and says what it showed."""

import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from delivery import positions
from delivery.content import Content
from delivery.log import body as bodies
from delivery.log.store import NewEntry, log_store
from devices.models import Device, Fact, Segment
from tests.api.test_problems import problem
from tests.api_world import Caller, World

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def tell(shop: World) -> Callable[[str, float], UUID]:
    def tell(title: str, at: float) -> UUID:
        identity = uuid4()
        body = bodies.encode(bodies.Body(Content(title=title), "", int(at * 1000)))
        new = NewEntry(shop.subscriber.uid.bytes, identity.bytes, body)
        log_store().append([new], run=shop.run.uid, stamp=at)
        return identity

    return tell


def test_the_inbox_is_read_with_cursors(shop: World, tell: Callable[[str, float], UUID]) -> None:
    now = time.time()
    for number in range(5):
        tell(f"t{number}", now - 100 + number)
    app = shop.app()
    first = app("GET", "inbox?limit=3").json()
    assert [entry["title"] for entry in first["entries"]] == ["t0", "t1", "t2"] and first["recovered"] is True
    rest = app("GET", f"inbox?limit=3&after={first['next']}").json()
    assert [entry["title"] for entry in rest["entries"]] == ["t3", "t4"] and rest["next"] is None
    assert app("GET", f"inbox?after={rest['cursor']}").json()["entries"] == []


def test_a_cursor_from_before_the_log_is_told_so(shop: World, tell: Callable[[str, float], UUID]) -> None:
    tell("still there", time.time() - 100)
    old = positions.encode(positions.floor(time.time() - (settings.LOG_DAYS + 1) * 86_400))
    answer = shop.app()("GET", f"inbox?after={old}").json()
    assert answer["recovered"] is False and [one["title"] for one in answer["entries"]] == ["still there"]
    assert shop.app()("GET", f"inbox?after={answer['cursor']}").json()["recovered"] is True


@pytest.mark.parametrize("query", ["after=xyz", "limit=0", "limit=101", "limit=x", "limit=-1", "limit=²"])
def test_a_wrong_cursor_or_limit_is_400(shop: World, query: str) -> None:
    problem(shop.app()("GET", f"inbox?{query}"), 400, "invalid")


def test_a_notification_counts_as_opened_once(shop: World, tell: Callable[[str, float], UUID]) -> None:
    Segment.objects.create(
        application=shop.application, name="Readers", predicate={"opened": {"within_days": 1}}
    )
    told = [str(tell(f"t{number}", time.time() - 60)) for number in range(3)]
    for ids in (told[:1], told[:2], told):
        body = {"receipts": [{"kind": "opened", "ids": ids}]}
        assert shop.app()("POST", "receipts", body).status_code == 202
    assert list(Fact.objects.values_list("subscriber_id", "count")) == [(shop.subscriber.pk, 3)]


def test_the_inbox_is_for_subscriber_tokens_only(shop: World) -> None:
    for caller in (shop.service, Caller()):
        told = problem(caller("GET", "inbox"), 401, "not-authenticated")
        assert "a subscriber token" in told["detail"]


def test_receipts_are_recorded_for_the_devices_own_log(
    shop: World, tell: Callable[[str, float], UUID]
) -> None:
    identity = tell("t", time.time() - 60)
    body = {
        "receipts": [
            {"kind": "displayed", "ids": [str(identity)]},
            {"kind": "opened", "ids": [str(identity)]},
        ]
    }
    app = shop.app()
    assert app("POST", "receipts", body).json() == {"recorded": 2}
    assert app("GET", "inbox").json()["entries"][0]["state"] == "read"
    rows = log_store().receipts(shop.subscriber.uid, [identity])
    assert {(row.kind, row.device) for row in rows} == {
        ("displayed", shop.device.uid),
        ("opened", shop.device.uid),
    }


@pytest.mark.parametrize(
    ("receipt", "pointer"),
    [
        ({"kind": "seen", "ids": [str(uuid4())]}, "/receipts/0/kind"),
        ({"kind": "read", "ids": ["x"]}, "/receipts/0/ids/0"),
        ({"kind": "read", "ids": []}, "/receipts/0/ids"),
        ({"kind": "read", "ids": [str(uuid4())] * 501}, "/receipts/0/ids"),
        ({"kind": "read", "id": "x"}, "/receipts/0/id"),
    ],
)
def test_a_wrong_receipt_is_refused_with_its_place(shop: World, receipt: object, pointer: str) -> None:
    told = problem(shop.app()("POST", "receipts", {"receipts": [receipt]}), 400, "invalid")
    assert pointer in [error["pointer"] for error in told["errors"]]


def test_a_minted_token_opens_the_inbox(shop: World) -> None:
    minted = shop.caller("tokens:mint")(
        "POST", "tokens", {"subscriber": "ada-shop", "device": str(shop.device.uid), "seconds": 60}
    )
    assert minted.status_code == 201 and minted.json()["device"] == str(shop.device.uid)
    assert Caller(minted.json()["token"])("GET", "inbox").status_code == 200


def test_a_token_for_a_new_device_lets_it_register_and_nothing_else(shop: World) -> None:
    minted = shop.service("POST", "tokens", {"subscriber": "ada-shop"}).json()
    app = Caller(minted["token"])
    problem(app("GET", "inbox"), 401, "not-authenticated")
    assert (
        app("PUT", f"devices/{minted['device']}", {"platform": "tv", "provider": "socket"}).status_code == 201
    )
    assert app("GET", "inbox").status_code == 200
    Device.objects.filter(uid=minted["device"]).update(state="retired")
    problem(app("GET", "inbox"), 401, "not-authenticated")


def test_no_token_for_somebody_elses_device_or_an_unknown_subscriber(shop: World, bank: World) -> None:
    for body in (
        {"subscriber": "ada-shop", "device": str(bank.device.uid)},
        {"subscriber": "ada-bank"},
        {"subscriber": "nobody"},
    ):
        problem(shop.service("POST", "tokens", body), 404, "not-found")
    problem(shop.service("POST", "tokens", {"subscriber": "ada-shop", "seconds": 86_401}), 400, "invalid")


def test_a_ticket_stands_for_the_token_that_asked_for_it(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued: list[str] = []
    monkeypatch.setattr("delivery.node.tickets.issue", lambda token: issued.append(token) or "a-ticket")
    app = shop.app()
    answer = app("POST", "tickets")
    assert (answer.status_code, answer.json()) == (201, {"ticket": "a-ticket", "expires_in": 30})
    assert issued == [app.secret]
    problem(shop.service("POST", "tickets"), 401, "not-authenticated")


def test_without_redis_there_are_no_tickets_and_the_refusal_says_what_to_do(shop: World) -> None:
    told = problem(shop.app()("POST", "tickets"), 503, "tickets-away")
    assert "auth frame" in told["detail"]
