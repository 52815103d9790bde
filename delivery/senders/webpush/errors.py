"""What push services' answers mean: by what they say where one status means two things, else by the status.

Sources: RFC 8030 sections 5, 7.3 and 8.4, RFC 8292 section 4.2; "Sending web push notifications in web apps and
browsers" (developer.apple.com/documentation/usernotifications/
sending-web-push-notifications-in-web-apps-and-browsers); autopush's "Error codes"
(mozilla-services.github.io/autopush-rs/errors.html); "Troubleshooting push notifications" of Windows
(learn.microsoft.com/windows/apps/develop/notifications/push-notifications/troubleshooting).
Google documents none of its own.
"""

from delivery.senders.contract import Result, Verdict
from delivery.senders.dispatch import unknown_answer
from delivery.senders.engine import Answer

KEY_MISMATCH = "vapid_key_mismatch"
VAPID_REFUSED = "vapid_refused"

BY_WORDS: dict[bytes, tuple[Verdict, str]] = {
    # The subscription was made with another key: Apple, Google, Mozilla.
    b"VapidPkHashMismatch": (Verdict.DEAD, KEY_MISMATCH),
    b"do not correspond to the credentials used to create the subscription": (Verdict.DEAD, KEY_MISMATCH),
    b"VAPID public key mismatch": (Verdict.DEAD, KEY_MISMATCH),
    b"is not the key that this subscription was made with": (Verdict.DEAD, KEY_MISMATCH),
    # Apple, with 400 or 403
    b"BadJwtToken": (Verdict.SHUT, VAPID_REFUSED),
    b"BadVapidPublicKey": (Verdict.SHUT, VAPID_REFUSED),
}
"""Parts of a body that is not 2xx; they decide before the status does."""

BY_STATUS: dict[int, tuple[Verdict, str]] = {
    400: (Verdict.FAILED, "bad_request"),
    401: (Verdict.SHUT, VAPID_REFUSED),
    403: (Verdict.SHUT, VAPID_REFUSED),
    404: (Verdict.DEAD, "subscription_unknown"),
    405: (Verdict.FAILED, "method_not_allowed"),
    406: (Verdict.RETRY, "rate_limited"),  # Windows
    410: (Verdict.DEAD, "subscription_expired"),
    413: (Verdict.FAILED, "payload_too_large"),
    415: (Verdict.FAILED, "encoding_not_taken"),
    429: (Verdict.RETRY, "rate_limited"),
    500: (Verdict.RETRY, "internal_server_error"),
    502: (Verdict.RETRY, "bad_gateway"),
    503: (Verdict.RETRY, "service_unavailable"),
    504: (Verdict.RETRY, "gateway_timeout"),
}


def judge(answer: Answer) -> Result:
    """Return what an answer of a push service says of its message."""
    if 200 <= answer.status <= 204:
        return Result(answer.key, Verdict.SENT)
    if 400 <= answer.status < 500:
        for words, (verdict, reason) in BY_WORDS.items():
            if words in answer.body:
                return Result(answer.key, verdict, reason)
    meaning = BY_STATUS.get(answer.status)
    if meaning is None:
        return unknown_answer(answer)
    verdict, reason = meaning
    return Result(answer.key, verdict, reason, retry_after=float(answer.retry_after) or None)
