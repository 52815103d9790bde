"""Google's way to say no: google.rpc.Status as JSON, with FCM's own code and the fields at fault.

Sources: "Google APIs: Errors" (AIP-193), "FcmError / ErrorCode" and "Handle FCM errors" of
firebase.google.com/docs/cloud-messaging.
"""

from __future__ import annotations

from typing import Any

from fleet.http import Reply, json_reply

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_METHOD = "google.firebase.fcm.v1.FcmService.SendMessage"

# FCM error code: (HTTP status, canonical status, message)
FCM_ERRORS: dict[str, tuple[int, str, str]] = {
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "UNREGISTERED": (404, "NOT_FOUND", "Requested entity was not found."),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED", "SenderId mismatch"),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "UNAVAILABLE": (503, "UNAVAILABLE", "The service is currently unavailable."),
    "INTERNAL": (500, "INTERNAL", "Internal error encountered."),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
}

_NO_CREDENTIALS = (
    "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or "
    "other valid authentication credential. See "
    "https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_BAD_CREDENTIALS = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
    "valid authentication credential. See "
    "https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def fcm_error(code: str, *, retry_after: int | None = None) -> Reply:
    """Answer with one of FCM's own error codes."""
    http_status, status, message = FCM_ERRORS[code]
    details = [{"@type": _FCM_ERROR, "errorCode": code}]
    return _error(http_status, status, message, details, retry_after=retry_after)


def invalid_argument(field: str, description: str, *, by_parser: bool) -> Reply:
    """Refuse a message, naming the field where Google does.

    As published in bug reports: what the JSON parser refuses carries BadRequest only
    (esl/MongoosePush 123, eladnava/fcm-v1-http2 5); a malformed token carries FCM's code and no
    field (firebase/firebase-admin-java 1064). Other refusals carry both.
    """
    details: list[dict[str, Any]] = []
    if not by_parser:
        details.append({"@type": _FCM_ERROR, "errorCode": "INVALID_ARGUMENT"})
    if field or by_parser:
        violation = {"field": field, "description": description} if field else {"description": description}
        details.append({"@type": _BAD_REQUEST, "fieldViolations": [violation]})
    return _error(400, "INVALID_ARGUMENT", description, details)


def unauthenticated(reason: str) -> Reply:
    """Refuse a bearer token: CREDENTIALS_MISSING, ACCESS_TOKEN_EXPIRED or ACCESS_TOKEN_TYPE_UNSUPPORTED."""
    message = _NO_CREDENTIALS if reason == "CREDENTIALS_MISSING" else _BAD_CREDENTIALS
    metadata = {"service": "fcm.googleapis.com", "method": _METHOD}
    details = [{"@type": _ERROR_INFO, "reason": reason, "domain": "googleapis.com", "metadata": metadata}]
    return _error(401, "UNAUTHENTICATED", message, details)


def permission_denied(project: str) -> Reply:
    """Refuse a service account that has no right in this project."""
    permission = "cloudmessaging.messages.create"
    resource = f"//cloudresourcemanager.googleapis.com/projects/{project}"
    details = [
        {
            "@type": _ERROR_INFO,
            "reason": "IAM_PERMISSION_DENIED",
            "domain": "cloudresourcemanager.googleapis.com",
            "metadata": {"resource": f"projects/{project}", "permission": permission},
        }
    ]
    message = f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
    return _error(403, "PERMISSION_DENIED", message, details)


def not_found() -> Reply:
    """Refuse a path that is no method of the API; Google answers it with a page."""
    page = b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"
    return Reply(404, page, [("content-type", "text/html; charset=UTF-8")])


def _error(
    http_status: int,
    status: str,
    message: str,
    details: list[dict[str, Any]],
    *,
    retry_after: int | None = None,
) -> Reply:
    error = {"code": http_status, "message": message, "status": status, "details": details}
    headers = [] if retry_after is None else [("retry-after", str(retry_after))]
    return json_reply(http_status, {"error": error}, *headers)
