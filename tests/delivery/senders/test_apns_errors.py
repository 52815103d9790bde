import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.apns.errors import BY_REASON, PROVIDER_TOKEN_WAIT, judge
from delivery.senders.contract import Result, Verdict
from delivery.senders.engine import Answer
from fleet.apns_rules import REASONS


def judged(status: int, *, sandbox: bool = False, retry_after: int = 0, **body: Any) -> Result:
    answer = Answer(4, status, json.dumps(body).encode() if body else b"", retry_after)
    return judge(answer, apns_id="the id", sandbox=sandbox)


def test_an_accepted_message_carries_its_apns_id() -> None:
    assert judged(200) == Result(4, Verdict.SENT, "", "the id")


@pytest.mark.parametrize(
    ("status", "name", "verdict", "reason"),
    [
        (400, "BadDeviceToken", Verdict.DEAD, "bad_device_token"),
        (400, "DeviceTokenNotForTopic", Verdict.DEAD, "device_token_not_for_topic"),
        (403, "InvalidProviderToken", Verdict.SHUT, "invalid_provider_token"),
        (403, "MissingProviderToken", Verdict.SHUT, "missing_provider_token"),
        (400, "TopicDisallowed", Verdict.SHUT, "topic_disallowed"),
        (403, "BadCertificate", Verdict.SHUT, "bad_certificate"),
        (413, "PayloadTooLarge", Verdict.FAILED, "payload_too_large"),
        (429, "TooManyRequests", Verdict.RETRY, "too_many_requests"),
        (500, "InternalServerError", Verdict.RETRY, "internal_server_error"),
        (503, "ServiceUnavailable", Verdict.RETRY, "service_unavailable"),
        (503, "Shutdown", Verdict.RETRY, "shutdown"),
    ],
)
def test_a_reason_has_its_verdict(status: int, name: str, verdict: Verdict, reason: str) -> None:
    result = judged(status, reason=name)
    assert (result.verdict, result.reason, result.unknown) == (verdict, reason, False)


def test_a_410_says_since_when_the_token_is_dead() -> None:
    result = judged(410, reason="Unregistered", timestamp=1_700_000_000_500)
    assert (result.verdict, result.reason, result.dead_since) == (
        Verdict.DEAD,
        "unregistered",
        1_700_000_000.5,
    )


def test_too_many_provider_tokens_slow_the_gate() -> None:
    result = judged(429, reason="TooManyProviderTokenUpdates")
    assert (result.verdict, result.retry_after) == (Verdict.SLOW, PROVIDER_TOKEN_WAIT)


def test_a_key_for_production_only_fails_a_developers_device_alone() -> None:
    assert judged(403, reason="BadEnvironmentKeyIdInToken", sandbox=True).verdict is Verdict.FAILED
    assert judged(403, reason="BadEnvironmentKeyIdInToken").verdict is Verdict.SHUT


def test_a_reason_of_tomorrow_is_unknown() -> None:
    result = judged(400, reason="BadMood")
    assert (result.verdict, result.reason, result.unknown) == (Verdict.RETRY, "unknown_answer", True)


def test_every_reason_that_the_fleet_knows_has_a_verdict() -> None:
    assert set(REASONS) <= set(BY_REASON)


@given(
    status=st.integers(201, 599),
    body=st.binary(max_size=100)
    | st.sampled_from([b"", b"{}", b'{"reason":5}', b'{"reason":"Unreg', b"<html>"]),
)
def test_nonsense_ends_in_unknown(status: int, body: bytes) -> None:
    result = judge(Answer(4, status, body), apns_id="the id", sandbox=False)
    assert (result.verdict, result.reason, result.unknown) == (Verdict.RETRY, "unknown_answer", True)
