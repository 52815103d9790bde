"""Subscribers, preferences, devices, segments and categories by the API."""

from uuid import uuid4

import pytest

from devices.models import Device, Preference, Subscriber
from devices.push_subscriptions import of_token
from tests.api.test_problems import problem
from tests.api_world import World

FCM = {"platform": "android", "provider": "fcm", "token": "token-1"}


def test_a_subscriber_is_made_and_changed_by_put(shop: World) -> None:
    made = shop.service(
        "PUT",
        "subscribers/bob",
        {"locale": "pt_BR", "time_zone": "America/Sao_Paulo", "attributes": {"a": 1, "b": 2}},
    )
    assert made.status_code == 201, made.content
    assert made.json()["external_id"] == "bob" and made.json()["locale"] == "pt-BR"
    again = shop.service("PUT", "subscribers/bob", {"attributes": {"c": 3}})
    assert (again.status_code, again.json()["attributes"], again.json()["locale"]) == (200, {"c": 3}, "pt-BR")
    assert shop.service("GET", "subscribers/bob").json()["id"] == made.json()["id"]


def test_put_never_takes_back_an_opt_out(shop: World) -> None:
    shop.service("PUT", "subscribers/bob", {"consent": False})
    assert shop.service("PUT", "subscribers/bob", {"locale": "de"}).json()["consent"] is False


def test_patch_merges_attributes_and_null_removes_one(shop: World) -> None:
    shop.service("PUT", "subscribers/bob", {"attributes": {"a": 1, "b": 2}})
    changed = shop.service("PATCH", "subscribers/bob", {"attributes": {"b": None, "c": 3}})
    assert changed.json()["attributes"] == {"a": 1, "c": 3}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"time_zone": "Berlin"}, "/time_zone"),
        ({"quiet_hours": "22-8"}, "/quiet_hours"),
        ({"locale": "german"}, ""),
        ({"locale": "de/AT"}, "/locale"),
        ({"attributes": {"0": 1}}, "/attributes/0"),
        ({"attributes": {f"a{i}": 1 for i in range(101)}}, "/attributes"),
        ({"attributes": {"a": "x" * 17_000}}, "/attributes"),
        ({"attributes": []}, "/attributes"),
        ({"extrenal_id": "x"}, "/extrenal_id"),
        ({"consent": "perhaps"}, "/consent"),
    ],
)
def test_a_wrong_subscriber_is_refused_with_its_place(shop: World, body: object, pointer: str) -> None:
    answer = shop.service("PUT", "subscribers/bob", body)
    if pointer:
        told = problem(answer, 400, "invalid")
        assert [error["pointer"] for error in told["errors"]] == [pointer]
        assert not Subscriber.objects.filter(external_id="bob").exists()
    else:
        assert answer.status_code == 201


def test_an_external_id_stands_in_an_address(shop: World) -> None:
    assert shop.service("PUT", "subscribers/b%20o%3Fb@x", {}).json()["external_id"] == "b o?b@x"
    assert shop.service("PUT", "subscribers/" + "x" * 256, {}).status_code == 400
    assert shop.service("PUT", "subscribers/a%0Ab", {}).status_code == 400


def test_a_deleted_subscriber_is_gone_with_their_devices(shop: World) -> None:
    assert shop.service("DELETE", "subscribers/ada-shop").status_code == 204
    problem(shop.service("GET", "subscribers/ada-shop"), 404, "not-found")
    assert not Device.objects.filter(uid=shop.device.uid).exists()


def test_preferences_are_read_and_chosen_by_category(shop: World) -> None:
    path = "subscribers/ada-shop/preferences"
    news = {"key": "news-shop", "name": "News shop", "opt_in": False}
    usual = {"quiet_hours": "", "time_zone": "", "locale": "de"}
    assert shop.service("GET", path).json() == {
        "consent": True,
        "categories": [{**news, "allowed": None}],
        **usual,
    }
    chosen = shop.service("PATCH", path, {"consent": False, "categories": {"news-shop": False}})
    assert chosen.json() == {"consent": False, "categories": [{**news, "allowed": False}], **usual}
    shop.service("PATCH", path, {"categories": {"news-shop": None}})
    assert not Preference.objects.exists()
    told = problem(shop.service("PATCH", path, {"categories": {"news-bank": True}}), 400, "invalid")
    assert told["errors"][0]["pointer"] == "/categories/news-bank"


def test_a_service_registers_and_moves_a_device(shop: World) -> None:
    uid = uuid4()
    told = problem(shop.service("PUT", f"devices/{uid}", FCM), 400, "invalid")
    assert told["errors"][0]["pointer"] == "/subscriber"
    made = shop.service("PUT", f"devices/{uid}", {**FCM, "subscriber": "ada-shop"})
    assert made.status_code == 201 and "token" not in made.json()
    shop.service("PUT", "subscribers/bob", {})
    moved = shop.service("PUT", f"devices/{uid}", {"subscriber": "bob"})
    assert (moved.status_code, moved.json()["subscriber"], moved.json()["platform"]) == (
        200,
        "bob",
        "android",
    )
    listed = shop.service("GET", "devices?subscriber=bob").json()["items"]
    assert [device["id"] for device in listed] == [str(uid)]


def test_a_token_moves_to_the_device_that_a_service_gives_it(shop: World) -> None:
    first, second = uuid4(), uuid4()
    shop.service("PUT", "subscribers/bob", {})
    shop.service("PUT", f"devices/{first}", {**FCM, "subscriber": "ada-shop"})
    assert shop.service("PUT", f"devices/{second}", {**FCM, "subscriber": "bob"}).status_code == 201
    old = shop.service("GET", f"devices/{first}").json()
    assert (old["state"], old["retired_reason"]) == ("retired", "replaced")


def test_a_topic_of_fcm_is_a_device_that_only_a_service_registers(shop: World) -> None:
    shop.service("PUT", "subscribers/weather", {})
    topic = {"platform": "android", "provider": "fcm", "token": "topic:weather.berlin"}
    either = {**topic, "token": "condition:'a' in topics || 'b' in topics"}
    for body in (topic, either):
        made = shop.service("PUT", f"devices/{uuid4()}", {**body, "subscriber": "weather"})
        assert made.status_code == 201, made.content
    wrong = {**topic, "token": "topic:two words", "subscriber": "weather"}
    told = problem(shop.service("PUT", f"devices/{uuid4()}", wrong), 400, "invalid")
    assert [error["pointer"] for error in told["errors"]] == ["/token"]
    mine = uuid4()
    told = problem(shop.app(mine)("PUT", f"devices/{mine}", topic), 400, "invalid")
    assert "by the service" in told["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"platform": "android"}, "/provider"),
        ({"platform": "phone", "provider": "fcm", "token": "x"}, "/platform"),
        ({"platform": "android", "provider": "fcm"}, "/token"),
        ({"platform": "android", "provider": "fcm", "token": "a b"}, "/token"),
        ({"platform": "ios", "provider": "apns", "token": "xyz"}, "/token"),
        ({"platform": "android", "provider": "apns", "token": "ab" * 32}, "/provider"),
        ({"platform": "web", "provider": "socket", "token": "x"}, "/token"),
        ({**FCM, "subscriber": "ada-bank"}, "/subscriber"),
        ({**FCM, "state": "active"}, "/state"),
    ],
)
def test_a_wrong_device_is_refused_with_its_place(
    shop: World, bank: World, body: dict[str, str], pointer: str
) -> None:
    told = problem(
        shop.service("PUT", f"devices/{uuid4()}", {"subscriber": "ada-shop", **body}), 400, "invalid"
    )
    assert [error["pointer"] for error in told["errors"]] == [pointer]


WEB = {"platform": "web", "provider": "webpush"}
KEYS = {
    # the example of RFC 8291 section 5
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
SUBSCRIPTION = {"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/abc", "keys": KEYS}


def test_a_browser_registers_its_push_subscription_and_goes_back_to_its_socket(shop: World) -> None:
    app = shop.app()
    before = app("GET", f"devices/{shop.device.uid}").json()
    answer = app("PUT", f"devices/{shop.device.uid}", {"provider": "webpush", "subscription": SUBSCRIPTION})
    assert (answer.status_code, answer.json()["provider"], answer.json()["id"]) == (
        200,
        "webpush",
        before["id"],
    )
    assert "subscription" not in answer.json() and KEYS["auth"] not in answer.content.decode()
    kept = of_token(Device.objects.get(uid=shop.device.uid).token)
    assert (kept.endpoint, kept.p256dh, kept.auth) == (SUBSCRIPTION["endpoint"], KEYS["p256dh"], KEYS["auth"])
    again = app("PUT", f"devices/{shop.device.uid}", {"app_version": "2"})
    assert (again.status_code, again.json()["provider"]) == (200, "webpush")
    back = app("PUT", f"devices/{shop.device.uid}", {"provider": "socket"})
    assert (back.status_code, Device.objects.get(uid=shop.device.uid).token) == (200, "")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (WEB, "/subscription"),
        ({**WEB, "token": "x"}, "/subscription"),
        (
            {**WEB, "subscription": {**SUBSCRIPTION, "endpoint": "https://evil.example/x"}},
            "/subscription/endpoint",
        ),
        ({**WEB, "subscription": {**SUBSCRIPTION, "keys": {**KEYS, "auth": "x"}}}, "/subscription/keys/auth"),
        ({**WEB, "subscription": SUBSCRIPTION, "platform": "tv"}, "/provider"),
        ({**FCM, "subscription": SUBSCRIPTION}, "/subscription"),
        ({**FCM, "purpose": "voip"}, "/purpose"),
        ({"platform": "ios", "provider": "apns", "token": "a" * 64, "purpose": "lifeactivity:x"}, "/purpose"),
        ({"platform": "ios", "provider": "apns", "token": "a" * 64, "purpose": "liveactivity"}, "/purpose"),
    ],
)
def test_a_wrong_subscription_or_purpose_is_refused_with_its_place(
    shop: World, body: dict[str, object], pointer: str
) -> None:
    told = problem(
        shop.service("PUT", f"devices/{uuid4()}", {"subscriber": "ada-shop", **body}), 400, "invalid"
    )
    assert [error["pointer"] for error in told["errors"]] == [pointer]


def test_a_token_of_apples_says_what_it_is_for(shop: World) -> None:
    body = {"platform": "ios", "provider": "apns", "token": "a" * 64, "subscriber": "ada-shop"}
    made = shop.service("PUT", f"devices/{uuid4()}", {**body, "purpose": "liveactivity:order-7"})
    assert (made.status_code, made.json()["purpose"]) == (201, "liveactivity:order-7")


def test_a_device_registers_itself(shop: World) -> None:
    uid = uuid4()
    app = shop.app(uid)
    assert app("PUT", f"devices/{uid}", FCM).status_code == 201
    assert Device.objects.get(uid=uid).subscriber == shop.subscriber
    assert app("GET", f"devices/{uid}").json()["state"] == "active"
    assert [item["id"] for item in app("GET", "devices").json()["items"]] == [str(uid)]
    assert app("DELETE", f"devices/{uid}").status_code == 204
    assert Device.objects.get(uid=uid).retired_reason == "removed"
    assert app("PUT", f"devices/{uid}", {}).json()["state"] == "active"


def test_a_device_cannot_touch_another(shop: World, bank: World) -> None:
    app = shop.app(uuid4())
    shop.service("PUT", "subscribers/bob", {})
    for other in (shop.device.uid, bank.device.uid, uuid4()):
        problem(app("PUT", f"devices/{other}", FCM), 404, "not-found")
        problem(app("GET", f"devices/{other}"), 404, "not-found")
    mine = uuid4()
    problem(shop.app(mine)("PUT", f"devices/{mine}", {**FCM, "subscriber": "bob"}), 404, "not-found")


def test_a_client_cannot_take_another_subscribers_token(shop: World) -> None:
    shop.service("PUT", "subscribers/bob", {})
    shop.service("PUT", f"devices/{uuid4()}", {**FCM, "subscriber": "bob"})
    mine = uuid4()
    problem(shop.app(mine)("PUT", f"devices/{mine}", FCM), 409, "token-taken")
    assert Device.objects.get(token="token-1").subscriber.external_id == "bob"


def test_a_reinstalled_app_takes_its_own_token_along(shop: World) -> None:
    first, second = uuid4(), uuid4()
    shop.app(first)("PUT", f"devices/{first}", FCM)
    assert shop.app(second)("PUT", f"devices/{second}", FCM).status_code == 201
    assert Device.objects.get(uid=first).retired_reason == "replaced"


def test_segments_are_counted_saved_or_not(shop: World, bank: World) -> None:
    assert shop.service("GET", f"segments/{shop.segment.uid}/count").json()["count"] == 1
    assert shop.service("POST", "segments/count", {"predicate": {"locale": "fr"}}).json()["count"] == 0
    assert shop.service("POST", "segments/count", {"predicate": None}).json() == {
        "count": 1,
        "everybody": 1,
        "willing": 1,
        "devices": {"web": 1},
        "exact": True,
        "margin": 0,
    }


def test_a_segment_in_use_names_who_uses_it(shop: World) -> None:
    inner = {"segment": str(shop.segment.uid)}
    made = shop.service("POST", "segments", {"name": "Others", "predicate": {"not": inner}})
    assert made.status_code == 201, made.content
    told = problem(shop.service("DELETE", f"segments/{shop.segment.uid}"), 409, "in-use")
    assert "It is used by the campaign “spring-shop” and the segment “Others”" in told["detail"]
    told = problem(
        shop.service("PATCH", f"segments/{shop.segment.uid}", {"predicate": {"any": [inner]}}), 400, "invalid"
    )
    assert "a segment cannot stand in itself: “pros-shop” → “pros-shop”" in told["detail"]
    told = problem(
        shop.service(
            "POST",
            "segments/count",
            {"predicate": {"not": {"segment": "0" * 8 + "-0000" * 3 + "-" + "0" * 12}}},
        ),
        400,
        "invalid",
    )
    assert told["errors"][0]["pointer"] == "/predicate/not/segment"


def test_a_name_is_used_once(shop: World) -> None:
    problem(
        shop.service("POST", "segments", {"name": "pros-shop", "predicate": {"locale": "de"}}), 409, "exists"
    )
    made = shop.service("POST", "segments", {"name": "pros-bank", "predicate": {"locale": "de"}})
    assert made.status_code == 201
    problem(shop.service("PATCH", f"segments/{made.json()['id']}", {"name": "pros-shop"}), 409, "exists")


def test_what_is_in_use_is_not_deleted(shop: World) -> None:
    problem(shop.service("DELETE", f"segments/{shop.segment.uid}"), 409, "in-use")
    problem(shop.service("DELETE", "categories/news-shop"), 409, "in-use")
    problem(shop.service("DELETE", f"campaigns/{shop.campaign.uid}"), 409, "in-use")
    shop.service("DELETE", f"rules/{shop.rule.uid}")
    assert shop.service("DELETE", f"campaigns/{shop.campaign.uid}").status_code == 204
    assert shop.service("DELETE", f"segments/{shop.segment.uid}").status_code == 204
