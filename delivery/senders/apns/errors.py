"""What APNs's answers mean: every reason in Apple's table and what we do.

Source: "Handling notification responses from APNs" (developer.apple.com/documentation/usernotifications/
handling-notification-responses-from-apns).
"""

import msgspec

from delivery.senders.contract import Result, Verdict
from delivery.senders.dispatch import unknown_answer
from delivery.senders.engine import Answer

EXPIRED_PROVIDER_TOKEN = "expired_provider_token"
WRONG_ENVIRONMENT = "bad_environment_key_in_token"
PROVIDER_TOKEN_WAIT = 1200.0
"""Seconds until APNs takes another provider token for the same key: no more than one in 20 minutes
("Establishing a token-based connection to APNs")."""

BY_REASON: dict[str, tuple[Verdict, str]] = {
    # 400: the request
    "BadCollapseId": (Verdict.FAILED, "bad_collapse_id"),
    "BadDeviceToken": (Verdict.DEAD, "bad_device_token"),
    "BadExpirationDate": (Verdict.FAILED, "bad_expiration_date"),
    "BadMessageId": (Verdict.FAILED, "bad_message_id"),
    "BadPriority": (Verdict.FAILED, "bad_priority"),
    "BadTopic": (Verdict.SHUT, "bad_topic"),
    "DeviceTokenNotForTopic": (Verdict.DEAD, "device_token_not_for_topic"),
    "DuplicateHeaders": (Verdict.FAILED, "duplicate_headers"),
    "IdleTimeout": (Verdict.RETRY, "idle_timeout"),
    "InvalidPushType": (Verdict.FAILED, "invalid_push_type"),
    "MissingDeviceToken": (Verdict.DEAD, "missing_device_token"),
    "MissingTopic": (Verdict.SHUT, "missing_topic"),
    "PayloadEmpty": (Verdict.FAILED, "payload_empty"),
    "TopicDisallowed": (Verdict.SHUT, "topic_disallowed"),
    # 403: the certificate or the provider token
    "BadCertificate": (Verdict.SHUT, "bad_certificate"),
    "BadCertificateEnvironment": (Verdict.SHUT, "bad_certificate_environment"),
    # Apple's table has the first name, its servers say the second.
    "BadEnvironmentKeyIdInToken": (Verdict.SHUT, WRONG_ENVIRONMENT),
    "BadEnvironmentKeyInToken": (Verdict.SHUT, WRONG_ENVIRONMENT),
    "ExpiredProviderToken": (Verdict.SHUT, EXPIRED_PROVIDER_TOKEN),
    "Forbidden": (Verdict.SHUT, "forbidden"),
    "InvalidProviderToken": (Verdict.SHUT, "invalid_provider_token"),
    "MissingProviderToken": (Verdict.SHUT, "missing_provider_token"),
    # A connection belongs to the key of its first push; the next attempt gets another connection.
    "UnrelatedKeyIdInToken": (Verdict.RETRY, "unrelated_key_id_in_token"),
    # 404, 405
    "BadPath": (Verdict.FAILED, "bad_path"),
    "MethodNotAllowed": (Verdict.FAILED, "method_not_allowed"),
    # 410: the device is gone
    "ExpiredToken": (Verdict.DEAD, "expired_token"),
    "Unregistered": (Verdict.DEAD, "unregistered"),
    # 413
    "PayloadTooLarge": (Verdict.FAILED, "payload_too_large"),
    # 429: the second is about one device
    "TooManyProviderTokenUpdates": (Verdict.SLOW, "too_many_provider_token_updates"),
    "TooManyRequests": (Verdict.RETRY, "too_many_requests"),
    # 500, 503
    "InternalServerError": (Verdict.RETRY, "internal_server_error"),
    "ServiceUnavailable": (Verdict.RETRY, "service_unavailable"),
    "Shutdown": (Verdict.RETRY, "shutdown"),
}


class _Refusal(msgspec.Struct):
    reason: str
    timestamp: float | None = None


_refusal = msgspec.json.Decoder(_Refusal).decode


def judge(answer: Answer, *, apns_id: str, sandbox: bool) -> Result:
    """Return what an answer says of its message, sent with `apns_id` and perhaps to the sandbox."""
    if answer.status == 200:
        return Result(answer.key, Verdict.SENT, "", apns_id)
    try:
        refusal = _refusal(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return unknown_answer(answer)
    meaning = BY_REASON.get(refusal.reason)
    if meaning is None:
        return unknown_answer(answer)
    verdict, reason = meaning
    wait = float(answer.retry_after) or None
    since = None
    if verdict is Verdict.DEAD and refusal.timestamp is not None:
        since = refusal.timestamp / 1000  # milliseconds since the epoch
    elif verdict is Verdict.SLOW:
        wait = wait or PROVIDER_TOKEN_WAIT
    elif sandbox and reason == WRONG_ENVIRONMENT:
        # A key for production only: no reason to shut the gate for one developer's device.
        verdict = Verdict.FAILED
    return Result(answer.key, verdict, reason, "", wait, since)
