"""What FCM's answers mean: every error code, what we do, and the field it complains about.

Sources: "FCM error codes" (firebase.google.com/docs/cloud-messaging/error-codes) and the reference of
`ErrorCode` (firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode); `google.rpc.Code` for the rest.
As a table with every source: docs/reference/providers.md.
"""

import msgspec

from delivery.senders.contract import REASON_BYTES, Result, Verdict
from delivery.senders.dispatch import unknown_answer
from delivery.senders.engine import Answer

QUOTA_WAIT = 60.0
"""Seconds to wait after a 429 without Retry-After (firebase.google.com/docs/cloud-messaging/scale-fcm)."""

UNAUTHENTICATED = "unauthenticated"

BY_ERROR_CODE: dict[str, tuple[Verdict, str]] = {
    "UNREGISTERED": (Verdict.DEAD, "unregistered"),
    "SENDER_ID_MISMATCH": (Verdict.DEAD, "sender_id_mismatch"),
    "INVALID_ARGUMENT": (Verdict.FAILED, "invalid_argument"),
    "QUOTA_EXCEEDED": (Verdict.SLOW, "quota_exceeded"),
    "UNAVAILABLE": (Verdict.RETRY, "unavailable"),
    "INTERNAL": (Verdict.RETRY, "internal"),
    "UNSPECIFIED_ERROR": (Verdict.RETRY, "unspecified_error"),
    # What Firebase itself shows to APNs or a push service is refused. Android phones are told all the same, and it may
    # be about one developer's device; many of them trip the brake.
    "THIRD_PARTY_AUTH_ERROR": (Verdict.FAILED, "third_party_auth_error"),
}
"""FCM's own codes; they decide before the status does."""

BY_STATUS: dict[str, tuple[Verdict, str]] = {
    "INVALID_ARGUMENT": (Verdict.FAILED, "invalid_argument"),
    "UNAUTHENTICATED": (Verdict.SHUT, UNAUTHENTICATED),
    "PERMISSION_DENIED": (Verdict.SHUT, "permission_denied"),
    "NOT_FOUND": (Verdict.SHUT, "project_not_found"),
    "RESOURCE_EXHAUSTED": (Verdict.SLOW, "quota_exceeded"),
    "UNAVAILABLE": (Verdict.RETRY, "unavailable"),
    "INTERNAL": (Verdict.RETRY, "internal"),
    "DEADLINE_EXCEEDED": (Verdict.RETRY, "deadline_exceeded"),
    "ABORTED": (Verdict.RETRY, "aborted"),
    "CANCELLED": (Verdict.RETRY, "cancelled_by_provider"),
}
"""Codes of `google.rpc.Code`, for answers without one of FCM's."""

_INVALID_TOKEN = "The registration token is not a valid FCM registration token"
"""Example 2 of the error page: FCM does not name the field when the token is malformed."""


class _Violation(msgspec.Struct):
    field: str = ""
    subject: str = ""


class _Detail(msgspec.Struct):
    errorCode: str = ""
    fieldViolations: list[_Violation] = []
    violations: list[_Violation] = []


class _Error(msgspec.Struct):
    status: str
    message: str = ""
    details: list[_Detail] = []


class _Refusal(msgspec.Struct):
    error: _Error


class _Accepted(msgspec.Struct):
    name: str


_accepted = msgspec.json.Decoder(_Accepted).decode
_refusal = msgspec.json.Decoder(_Refusal).decode


def judge(answer: Answer) -> Result:
    """Return what an answer of `messages:send` says of its message."""
    try:
        if answer.status == 200:
            return Result(answer.key, Verdict.SENT, "", _accepted(answer.body).name.rpartition("/")[2])
        return _of_error(answer, _refusal(answer.body).error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return unknown_answer(answer)


def _of_error(answer: Answer, error: _Error) -> Result:
    code = next((detail.errorCode for detail in error.details if detail.errorCode), "")
    meaning = BY_ERROR_CODE.get(code) or BY_STATUS.get(error.status)
    if meaning is None:
        return unknown_answer(answer)
    verdict, reason = meaning
    wait = float(answer.retry_after) or None
    if verdict is Verdict.FAILED:
        fields = [violation.field for detail in error.details for violation in detail.fieldViolations]
        field = "message.token" if not fields and error.message == _INVALID_TOKEN else "".join(fields[:1])
        if field == "message.token":
            verdict = Verdict.DEAD
        reason = _cut(f"{reason}:{field}") if field else reason
    elif verdict is Verdict.SLOW:
        wait = wait or QUOTA_WAIT
        subjects = [violation.subject for detail in error.details for violation in detail.violations]
        # The same code tells of one device's limit (240 messages a minute); that is no reason to
        # keep everybody waiting.
        if subjects and all(subject.startswith("device") for subject in subjects):
            verdict, reason = Verdict.RETRY, "device_quota_exceeded"
    return Result(answer.key, verdict, reason, retry_after=wait)


def _cut(reason: str) -> str:
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")
