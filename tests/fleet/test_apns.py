"""APNs refuses what Apple's refuses, with Apple's reasons, and delivers the rest."""

from __future__ import annotations

import time
import uuid

import msgspec
import pytest
from joserfc.jwk import ECKey

from fleet.apns_keys import make_apns_key
from fleet.faults import Failure, Quota, Refusal
from fleet.http import Reply


def refusal(reply: Reply) -> tuple[int, str]:
    return reply.status, msgspec.json.decode(reply.body)["reason"]


def test_an_alert_is_accepted_with_an_id_made_for_it(apns):
    reply = apns.send()
    assert (reply.status, reply.body) == (200, b"")
    uuid.UUID(dict(reply.headers)["apns-id"])


def test_the_senders_id_comes_back_on_success_and_refusal(apns, new_id):
    assert dict(apns.send(apns_id=new_id).headers)["apns-id"] == new_id
    assert dict(apns.send(apns_id=new_id, apns_topic=None).headers)["apns-id"] == new_id


@pytest.mark.parametrize("authorization", [None, "", "basic abc", "bearer "])
def test_no_provider_token_is_missing(apns, authorization):
    assert refusal(apns.send(authorization=authorization)) == (403, "MissingProviderToken")


def test_a_provider_token_older_than_an_hour_has_expired(apns):
    old = apns.provider_token(iat=int(time.time()) - 3601)
    assert refusal(apns.send(authorization=f"bearer {old}")) == (403, "ExpiredProviderToken")


@pytest.mark.parametrize(
    "bend",
    [
        {"kid": "UNKNOWNKEY"},
        {"iss": "OTHERTEAM1"},
        {"iat": int(time.time()) + 3600},
        {"iat": "now"},
        {"key": ECKey.generate_key("P-256")},
    ],
    ids=["unknown key", "another team", "from the future", "no number", "another signature"],
)
def test_a_provider_token_that_does_not_hold_is_invalid(apns, bend):
    bent = apns.provider_token(**bend)
    assert refusal(apns.send(authorization=f"bearer {bent}")) == (403, "InvalidProviderToken")


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_jwt_is_invalid(apns, token):
    assert refusal(apns.send(authorization=f"bearer {token}")) == (403, "InvalidProviderToken")


def test_too_many_new_provider_tokens_are_refused_where_asked(apns):
    apns.server.world.break_("apns", limit_token_updates=True)
    assert apns.send().status == 200
    newer = apns.provider_token(iat=int(time.time()) - 5)
    assert refusal(apns.send(authorization=f"bearer {newer}")) == (429, "TooManyProviderTokenUpdates")
    assert apns.send().status == 200


def test_a_key_of_the_other_environment_is_refused(apns):
    key = make_apns_key(["com.example.app"], team=None, environment="sandbox")
    apns.server.keys.enrol(key)
    apns.key = key
    own = f"bearer {apns.provider_token()}"
    assert refusal(apns.send(authorization=own)) == (403, "BadEnvironmentKeyInToken")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"apns_topic": None}, "MissingTopic"),
        ({"apns_topic": "no topic"}, "BadTopic"),
        ({"apns_topic": "com.example.other"}, "TopicDisallowed"),
        ({"apns_push_type": None}, "InvalidPushType"),
        ({"apns_push_type": "banner"}, "InvalidPushType"),
        ({"apns_priority": "7"}, "BadPriority"),
        ({"apns_push_type": "background", "apns_priority": "10"}, "BadPriority"),
        ({"apns_push_type": "background"}, "BadPriority"),
        ({"apns_expiration": "tomorrow"}, "BadExpirationDate"),
        ({"apns_expiration": "-1"}, "BadExpirationDate"),
        ({"apns_collapse_id": "x" * 65}, "BadCollapseId"),
        ({"apns_collapse_id": "é" * 33}, "BadCollapseId"),
        ({"apns_id": "17"}, "BadMessageId"),
        ({"apns_push_type": "voip"}, "BadTopic"),
    ],
)
def test_a_bad_header_has_its_reason(apns, headers, reason):
    assert refusal(apns.send(**headers)) == (400, reason)


@pytest.mark.parametrize(
    "headers",
    [
        {"apns_priority": "1"},
        {"apns_push_type": "background", "apns_priority": "5"},
        {"apns_expiration": "0"},
        {"apns_expiration": "1900000000"},
        {"apns_collapse_id": "x" * 64},
        {"apns_push_type": "voip", "apns_topic": "com.example.app.voip"},
    ],
)
def test_good_headers_are_taken(apns, headers):
    assert apns.send(**headers).status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"nh":{"id":"a"}}'])
def test_no_payload_is_empty(apns, body):
    assert refusal(apns.send(body=body)) == (400, "PayloadEmpty")


def test_a_payload_has_4096_bytes_and_a_call_5120(apns):
    def of(size: int) -> bytes:
        return b'{"aps":{"alert":"' + b"x" * (size - 20) + b'"}}'

    assert len(of(4096)) == 4096
    call = {"apns_push_type": "voip", "apns_topic": "com.example.app.voip"}
    assert apns.send(body=of(4096)).status == 200
    assert refusal(apns.send(body=of(4097))) == (413, "PayloadTooLarge")
    assert apns.send(body=of(5120), **call).status == 200
    assert refusal(apns.send(body=of(5121), **call)) == (413, "PayloadTooLarge")


def test_payloads_of_other_apps_are_taken(apns):
    aps = {"alert": {"title-loc-key": "K", "title": None}, "badge": 1}
    assert apns.send(payload={"aps": aps, "nh": "not ours"}).status == 200


@pytest.mark.parametrize("token", ["zz", "ab" * 32, "0" * 63])
def test_a_token_nobody_made_is_bad(apns, token):
    assert refusal(apns.send(token)) == (400, "BadDeviceToken")


def test_a_missing_token_is_missing(apns):
    assert refusal(apns.send(path="/3/device/")) == (400, "MissingDeviceToken")


def test_a_sandbox_phone_is_a_bad_token_in_production_and_the_other_way_round(apns):
    (token,) = apns.server.world.devices.make("apns", count=1, home="com.example.app", environment="sandbox")
    assert refusal(apns.send(token)) == (400, "BadDeviceToken")
    assert apns.send(token, sandbox=True).status == 200
    assert refusal(apns.send(sandbox=True)) == (400, "BadDeviceToken")


def test_a_phone_of_another_app_does_not_match_the_topic(apns):
    (token,) = apns.server.world.devices.make("apns", count=1, home="com.example.other")
    assert refusal(apns.send(token)) == (400, "DeviceTokenNotForTopic")


def test_a_dead_token_is_gone_since_its_timestamp(apns):
    devices = apns.server.world.devices
    devices.bury(devices.find(apns.tokens[1]), since=1_700_000_000_000)
    reply = apns.send(apns.tokens[1])
    assert reply.status == 410
    assert msgspec.json.decode(reply.body) == {"reason": "Unregistered", "timestamp": 1_700_000_000_000}
    assert apns.send(apns.tokens[2]).status == 200


def test_another_path_or_method_is_refused(apns):
    assert refusal(apns.send(path="/4/device/x")) == (404, "BadPath")
    assert refusal(apns.send(method="GET")) == (405, "MethodNotAllowed")


def test_outages_quotas_and_any_reason_on_demand(apns):
    apns.server.world.break_(
        "apns",
        status_5xx=Failure(status=503, count=1, retry_after=3),
        quota_429=Quota(count=1),
        answer=Refusal("Shutdown"),
    )
    reply = apns.send()
    assert (refusal(reply), dict(reply.headers)["retry-after"]) == ((503, "ServiceUnavailable"), "3")
    assert refusal(apns.send()) == (429, "TooManyRequests")
    assert refusal(apns.send()) == (503, "Shutdown")
    assert apns.send().status == 200


def test_refused_credentials_are_an_invalid_token(apns):
    apns.server.world.break_("apns", refuse_credentials=True)
    assert refusal(apns.send()) == (403, "InvalidProviderToken")


def test_the_collapse_id_is_the_display_identity(apns, new_id):
    apns.notify(apns.tokens[0], id=new_id, title="first", apns_collapse_id=new_id)
    apns.notify(apns.tokens[0], id=new_id, title="second", apns_collapse_id=new_id)
    (one,) = apns.server.world.record.of_device(apns.server.world.devices.find(apns.tokens[0]))
    assert (one.times, one.replaced, one.title, one.identity) == (2, 1, "second", new_id)


def test_a_background_push_shows_nothing(apns):
    apns.send(payload={"aps": {"content-available": 1}}, apns_push_type="background", apns_priority="5")
    (one,) = apns.server.world.record.of_device(apns.server.world.devices.find(apns.tokens[0]))
    assert not one.shown


def test_a_header_of_apns_may_stand_once_only(apns):
    request = apns.request(repeated=("apns-priority",))
    assert refusal(apns.server.apns.handle(request)) == (400, "DuplicateHeaders")
    assert apns.server.apns.handle(apns.request(repeated=("cookie",))).status == 200


def test_a_certificate_is_as_good_as_a_token(apns):
    certificate, digest = apns.certificate()
    assert apns.server.apns.handle(apns.request(peer=digest, authorization=None)).status == 200
    # Apple: with a certificate for one topic the header may be left out.
    assert (
        apns.server.apns.handle(apns.request(peer=digest, authorization=None, apns_topic=None)).status == 200
    )
    other = apns.request(peer=digest, authorization=None, apns_topic="com.example.other")
    assert refusal(apns.server.apns.handle(other)) == (400, "TopicDisallowed")
    assert certificate.topics == ("com.example.app",)


def test_a_certificate_of_the_other_environment_is_refused(apns):
    _, digest = apns.certificate(environment="sandbox")
    request = apns.request(peer=digest, authorization=None)
    assert refusal(apns.server.apns.handle(request)) == (403, "BadCertificateEnvironment")


def test_an_unknown_certificate_is_bad_and_so_is_a_refused_one(apns):
    unknown = apns.request(peer="0" * 64, authorization=None)
    assert refusal(apns.server.apns.handle(unknown)) == (403, "BadCertificate")
    _, digest = apns.certificate()
    apns.server.world.break_("apns", refuse_credentials=True)
    refused = apns.request(peer=digest, authorization=None)
    assert refusal(apns.server.apns.handle(refused)) == (403, "BadCertificate")


def test_the_age_of_what_happened_is_known(apns):
    at = int(time.time() * 1000) - 5000
    apns.send(payload={"aps": {"alert": "x"}, "nh": {"id": "n", "run": "r", "at": at}})
    (age,) = apns.server.world.record.ages("r")
    assert 5000 <= age < 60_000
