"""What push services answer, in their own words, and answers that nobody can read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.contract import Result, Verdict
from delivery.senders.engine import Answer
from delivery.senders.webpush.errors import BY_STATUS, BY_WORDS, judge


def apple(status: int, reason: str) -> Answer:
    return Answer(0, status, json.dumps({"reason": reason}).encode())


def mozilla(status: int, number: int, message: str = "") -> Answer:
    return Answer(0, status, json.dumps({"code": status, "errno": number, "message": message}).encode())


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_success_is_one(status: int) -> None:
    assert judge(Answer(3, status)) == Result(3, Verdict.SENT)


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        (apple(403, "VapidPkHashMismatch"), Verdict.DEAD, "vapid_key_mismatch"),
        (apple(400, "VapidPkHashMismatch"), Verdict.DEAD, "vapid_key_mismatch"),
        (apple(403, "BadJwtToken"), Verdict.SHUT, "vapid_refused"),
        (apple(400, "BadWebPushTopic"), Verdict.FAILED, "bad_request"),
        (apple(410, "Unregistered"), Verdict.DEAD, "subscription_expired"),
        (apple(413, "PayloadTooLarge"), Verdict.FAILED, "payload_too_large"),
        (mozilla(401, 109, "VAPID public key mismatch"), Verdict.DEAD, "vapid_key_mismatch"),
        (mozilla(401, 109, "Expired token"), Verdict.SHUT, "vapid_refused"),
        (mozilla(404, 102), Verdict.DEAD, "subscription_unknown"),
        (mozilla(410, 106), Verdict.DEAD, "subscription_expired"),
        (mozilla(503, 201), Verdict.RETRY, "service_unavailable"),
        (
            Answer(
                0,
                403,
                b"the VAPID credentials in the authorization header do not correspond to the credentials used to "
                b"create the subscriptions.\n",
            ),
            Verdict.DEAD,
            "vapid_key_mismatch",
        ),
        (Answer(0, 429, b"", 30), Verdict.RETRY, "rate_limited"),
        (Answer(0, 406), Verdict.RETRY, "rate_limited"),  # Windows
    ],
)
def test_an_answer_means_what_the_service_says(answer: Answer, verdict: Verdict, reason: str) -> None:
    result = judge(answer)
    assert (result.verdict, result.reason) == (verdict, reason)


def test_the_wait_that_is_asked_for_is_kept() -> None:
    assert judge(Answer(0, 503, b"", 12)).retry_after == 12.0
    assert judge(Answer(0, 503)).retry_after is None


@given(status=st.integers(100, 599), body=st.binary(max_size=300))
def test_an_answer_that_nobody_can_read_never_raises(status: int, body: bytes) -> None:
    result = judge(Answer(0, status, body))
    told = any(words in body for words in BY_WORDS)
    if status not in BY_STATUS and not 200 <= status <= 204 and not told:
        assert (result.verdict, result.reason, result.unknown) == (Verdict.RETRY, "unknown_answer", True)
