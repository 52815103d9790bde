"""Credentials by the API: written, checked, removed, and never read back."""

import json
from typing import Any

import pytest

from delivery import checking
from delivery.models import Credential, Gate
from tests.api.test_problems import problem
from tests.api_world import World
from tests.delivery.test_credential_input import P256, account, pem


def apns(**changed: Any) -> dict[str, Any]:
    ids = {"key_id": "AB12CD34EF", "team_id": "AB12CD34EG", "topic": "com.example.app"}
    return {"provider": "apns", "private_key": pem(P256), **ids, **changed}


def test_credentials_are_written_and_never_shown(shop: World) -> None:
    Gate.objects.create(application=shop.application, provider="fcm", state=Gate.State.SHUT)
    body = {"provider": "fcm", "service_account": json.loads(account()), "per_minute": 1000}
    made = shop.service("POST", "credentials", body)
    assert made.status_code == 201, made.content
    stored = Credential.objects.get(uid=made.json()["id"])
    assert stored.secret["service_account"]["project_id"] == "shop" and stored.settings == {
        "per_minute": 1000
    }
    one = shop.service("GET", f"credentials/{stored.uid}")
    many = shop.service("GET", "credentials")
    for answer in (made, one, many):
        assert "PRIVATE KEY" not in answer.content.decode() and "push@shop" not in answer.content.decode()
    assert one.json()["fingerprint"] == stored.fingerprint and one.json()["shown"]
    assert Gate.objects.get(provider="fcm", application=shop.application).state == Gate.State.OPEN


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"provider": "pigeon"}, "/provider"),
        ({"provider": "fcm"}, "/service_account"),
        ({"provider": "fcm", "service_account": {"type": "x"}}, "/service_account"),
        (apns(topic=""), "/topic"),
        (apns(private_key="x"), "/private_key"),
        (apns(subject="mailto:push@example.com"), "/subject"),
        ({"provider": "webpush"}, "/subject"),
        ({"provider": "webpush", "subject": "me"}, "/subject"),
        ({"provider": "webpush", "subject": "mailto:push@example.com", "secret": "x"}, "/secret"),
    ],
)
def test_wrong_credentials_are_refused_with_their_place(
    shop: World, body: dict[str, Any], pointer: str
) -> None:
    told = problem(shop.service("POST", "credentials", body), 400, "invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]


def test_two_of_a_provider_are_alive_and_a_third_is_refused(shop: World) -> None:
    first = shop.service("POST", "credentials", apns()).json()
    second = shop.service("POST", "credentials", apns(key_id="ZZ12CD34EF")).json()
    problem(shop.service("POST", "credentials", apns(key_id="YY12CD34EF")), 409, "two-stored")
    shown = {row["id"]: row["shown"] for row in shop.service("GET", "credentials").json()["items"]}
    assert (shown[first["id"]], shown[second["id"]]) == (False, True)
    assert shop.service("DELETE", f"credentials/{first['id']}").status_code == 204
    assert shop.service("POST", "credentials", apns(key_id="YY12CD34EF")).status_code == 201


def test_a_check_tells_what_the_provider_said(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        checking, "check", lambda stored: checking.Checked(False, "bad_topic", "APNs refuses it.")
    )
    answer = shop.service("POST", f"credentials/{shop.credential.uid}/check")
    assert answer.json() == {"accepted": False, "code": "bad_topic", "sentence": "APNs refuses it."}


def test_credentials_need_their_scope(shop: World) -> None:
    problem(shop.caller("subscribers:write")("GET", "credentials"), 403, "scope-missing")
    problem(shop.app()("GET", "credentials"), 401, "not-authenticated")


def test_a_page_is_given_the_key_to_subscribe_with(shop: World) -> None:
    for caller in (shop.app(), shop.caller("subscribers:read")):
        found = caller("GET", "web-push-key").json()["public_key"]
        assert len(found) == 87 and found.startswith("B")
    shop.credential.delete()
    problem(shop.app()("GET", "web-push-key"), 404, "no-web-push")
