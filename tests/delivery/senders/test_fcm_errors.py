import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.contract import REASON_BYTES, Verdict
from delivery.senders.engine import Answer
from delivery.senders.fcm.errors import BY_ERROR_CODE, QUOTA_WAIT, judge

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"


def refusal(
    status: int, name: str, *details: dict[str, Any], message: str = "", retry_after: int = 0
) -> Answer:
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    return Answer(5, status, json.dumps({"error": error}).encode(), retry_after)


def fcm(code: str) -> dict[str, Any]:
    return {"@type": FCM_ERROR, "errorCode": code}


def field(name: str) -> dict[str, Any]:
    return {"@type": BAD_REQUEST, "fieldViolations": [{"field": name, "description": "Invalid"}]}


def test_an_accepted_message_carries_fcms_id() -> None:
    result = judge(Answer(5, 200, b'{"name": "projects/p/messages/0:123%abc"}'))
    assert (result.index, result.verdict, result.reason, result.provider_id) == (
        5,
        Verdict.SENT,
        "",
        "0:123%abc",
    )


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        (refusal(404, "NOT_FOUND", fcm("UNREGISTERED")), Verdict.DEAD, "unregistered"),
        (refusal(403, "PERMISSION_DENIED", fcm("SENDER_ID_MISMATCH")), Verdict.DEAD, "sender_id_mismatch"),
        (
            refusal(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), field("message.data[0].value")),
            Verdict.FAILED,
            "invalid_argument:message.data[0].value",
        ),
        (
            refusal(400, "INVALID_ARGUMENT", field("message.token"), fcm("INVALID_ARGUMENT")),
            Verdict.DEAD,
            "invalid_argument:message.token",
        ),
        (
            refusal(
                400,
                "INVALID_ARGUMENT",
                fcm("INVALID_ARGUMENT"),
                message="The registration token is not a valid FCM registration token",
            ),
            Verdict.DEAD,
            "invalid_argument:message.token",
        ),
        (refusal(400, "INVALID_ARGUMENT"), Verdict.FAILED, "invalid_argument"),
        (
            refusal(401, "UNAUTHENTICATED", fcm("THIRD_PARTY_AUTH_ERROR")),
            Verdict.FAILED,
            "third_party_auth_error",
        ),
        (refusal(401, "UNAUTHENTICATED"), Verdict.SHUT, "unauthenticated"),
        (refusal(403, "PERMISSION_DENIED"), Verdict.SHUT, "permission_denied"),
        (refusal(503, "UNAVAILABLE", fcm("UNAVAILABLE")), Verdict.RETRY, "unavailable"),
        (refusal(500, "INTERNAL", fcm("INTERNAL")), Verdict.RETRY, "internal"),
    ],
)
def test_an_error_code_has_its_verdict(answer: Answer, verdict: Verdict, reason: str) -> None:
    result = judge(answer)
    assert (result.verdict, result.reason, result.unknown) == (verdict, reason, False)


def test_a_404_without_fcms_code_kills_no_token() -> None:
    assert judge(refusal(404, "NOT_FOUND")).verdict is Verdict.SHUT


def test_a_code_of_tomorrow_is_unknown() -> None:
    result = judge(refusal(418, "TEAPOT", fcm("TEAPOT")))
    assert (result.verdict, result.reason, result.unknown) == (Verdict.RETRY, "unknown_answer", True)


def test_the_quota_slows_the_gate_for_as_long_as_fcm_says() -> None:
    answer = refusal(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED"), retry_after=30)
    assert (judge(answer).verdict, judge(answer).retry_after) == (Verdict.SLOW, 30.0)
    assert judge(refusal(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED"))).retry_after == QUOTA_WAIT


def test_one_devices_quota_keeps_nobody_else_waiting() -> None:
    detail = {"@type": QUOTA_FAILURE, "violations": [{"subject": "device:token", "description": "Rate"}]}
    result = judge(refusal(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED"), detail, retry_after=9))
    assert (result.verdict, result.reason, result.retry_after) == (
        Verdict.RETRY,
        "device_quota_exceeded",
        9.0,
    )


def test_every_code_that_fcm_documents_has_a_verdict() -> None:
    documented = (
        "UNSPECIFIED_ERROR INVALID_ARGUMENT UNREGISTERED SENDER_ID_MISMATCH QUOTA_EXCEEDED UNAVAILABLE "
        "INTERNAL THIRD_PARTY_AUTH_ERROR"
    )
    assert set(BY_ERROR_CODE) == set(documented.split())


def test_a_long_field_name_still_fits_the_reason() -> None:
    reason = judge(refusal(400, "INVALID_ARGUMENT", field("message." + "ä" * 100))).reason
    assert reason.startswith("invalid_argument:message.ä") and len(reason.encode()) <= REASON_BYTES


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "status", "details", "errorCode", "name", "message", "code"]), inner
        )
    ),
    max_leaves=10,
)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=200)
    | anything.map(lambda value: json.dumps(value).encode())
    | st.just(b"<!DOCTYPE html><title>502</title>")
    | st.integers(0, 120).map(lambda end: refusal(404, "NOT_FOUND", fcm("UNREGISTERED")).body[:end]),
)
def test_nonsense_ends_in_unknown_and_never_in_a_dead_token(status: int, body: bytes) -> None:
    result = judge(Answer(1, status, body))
    assert result.verdict is not Verdict.DEAD
    if result.reason == "unknown_answer":
        assert result.verdict is Verdict.RETRY and result.unknown
