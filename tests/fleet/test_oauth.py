"""The token endpoint refuses what Google's refuses."""

from __future__ import annotations

import time

import msgspec
import pytest
from joserfc.jwk import RSAKey

from fleet.http import Reply


def error(reply: Reply) -> tuple[int, str]:
    return reply.status, msgspec.json.decode(reply.body)["error"]


def test_a_good_assertion_buys_a_token_for_an_hour(fcm):
    reply = fcm.exchange(fcm.assertion())
    answer = msgspec.json.decode(reply.body)
    assert (reply.status, answer["expires_in"], answer["token_type"]) == (200, 3599, "Bearer")


def test_another_grant_type_is_refused(fcm):
    assert error(fcm.exchange(fcm.assertion(), grant_type="password")) == (400, "unsupported_grant_type")


def test_a_missing_assertion_is_refused(fcm):
    assert error(fcm.exchange("")) == (400, "invalid_request")


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_an_assertion_that_is_no_jwt_is_refused(fcm, assertion):
    assert error(fcm.exchange(assertion)) == (400, "invalid_grant")


def test_a_signature_of_another_key_is_refused(fcm):
    stranger = RSAKey.generate_key(2048)
    assert error(fcm.exchange(fcm.assertion(key=stranger))) == (400, "invalid_grant")


def test_an_unknown_account_is_refused(fcm):
    reply = fcm.exchange(fcm.assertion(iss="nobody@shop-1.iam.gserviceaccount.com"))
    assert error(reply) == (400, "invalid_grant")
    assert "account not found" in msgspec.json.decode(reply.body)["error_description"]


@pytest.mark.parametrize(
    ("issued", "expires"),
    [(-7200, -3600), (0, 7200), (1000, 2000), (-10, -1)],
    ids=["expired", "longer than an hour", "from the future", "just expired"],
)
def test_an_assertion_out_of_its_time_is_refused(fcm, issued, expires):
    now = int(time.time())
    assert error(fcm.exchange(fcm.assertion(iat=now + issued, exp=now + expires))) == (400, "invalid_grant")


def test_another_audience_is_refused(fcm):
    assert error(fcm.exchange(fcm.assertion(aud="https://example.com/token"))) == (400, "invalid_grant")


def test_a_scope_that_is_not_messaging_is_refused(fcm):
    assert error(fcm.exchange(fcm.assertion(scope="email"))) == (400, "invalid_scope")
