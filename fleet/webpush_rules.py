"""A push service's rules for one request: its headers and the size and shape of its body.

Sources: RFC 8030 (Generic Event Delivery Using HTTP Push), RFC 8291, and for the body of an error "Error Codes",
mozilla-services.github.io/autopush-rs/errors.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

MOST_BODY = 4096
MOST_TTL = 30 * 24 * 3600
URGENCIES = frozenset({"very-low", "low", "normal", "high"})

# reason: (HTTP status, Mozilla's error number, its words)
REASONS: dict[str, tuple[int, int, str]] = {
    "MissingTtl": (400, 111, "Missing Required Header"),
    "BadTtl": (400, 112, "Invalid TTL header value"),
    "BadTopic": (400, 113, "Invalid Topic header value"),
    "BadUrgency": (400, 110, "Invalid Urgency header value"),
    "BadEncryption": (400, 110, "Invalid crypto keys specified"),
    "Unauthorized": (401, 109, "Invalid authentication"),
    "Forbidden": (403, 109, "Invalid authentication"),
    "NotFound": (404, 102, "Invalid URL endpoint"),
    "MethodNotAllowed": (405, 999, "Method Not Allowed"),
    "Gone": (410, 106, "Invalid subscription"),
    "PayloadTooLarge": (413, 104, "Data payload too large"),
    "TooManyRequests": (429, 201, "Use exponential back-off for retries"),
    "ServerError": (500, 999, "Unknown error"),
    "BadGateway": (502, 902, "An error occurred while establishing a connection"),
    "Unavailable": (503, 201, "Use exponential back-off for retries"),
}
_SECONDS = re.compile(r"[0-9]{1,20}").fullmatch
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}").fullmatch


class WebPushError(Exception):
    """A request a push service refuses; `reason` is a key of REASONS, `text` says what was wrong."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason
        self.text = text


class Asked(NamedTuple):
    """What a request asks of the service; `ttl` in seconds, at most what the service keeps."""

    ttl: int
    urgency: str
    topic: str


def checked_headers(headers: Mapping[str, str]) -> Asked:
    """Return what the headers ask for. Raises `WebPushError`."""
    ttl = headers.get("ttl")
    if ttl is None:
        # RFC 8030, section 5.2: MUST be 400.
        raise WebPushError("MissingTtl", "Missing TTL header")
    if not _SECONDS(ttl):
        raise WebPushError("BadTtl", f"TTL must be a number of seconds, got {ttl!r}")
    urgency = headers.get("urgency", "normal")
    if urgency not in URGENCIES:
        # RFC 8030, section 5.3; more than one value MUST be 400 too, and two lines read as one with a comma.
        raise WebPushError("BadUrgency", f"Urgency must be one of {', '.join(sorted(URGENCIES))}")
    topic = headers.get("topic")
    if topic is not None and not _TOPIC(topic):
        # RFC 8030, section 5.4: at most 32 characters of the URL and filename safe base64 alphabet, else 400.
        raise WebPushError("BadTopic", "Topic must be 1 to 32 characters of A-Z, a-z, 0-9, - and _")
    # RFC 8030, section 5.2: a service may keep a message for a shorter time, and says so in its answer.
    return Asked(min(int(ttl), MOST_TTL), urgency, topic or "")


def checked_body(headers: Mapping[str, str], body: bytes) -> None:
    """Refuse what is too large or in another content coding. Raises `WebPushError`."""
    if len(body) > MOST_BODY:
        # RFC 8030, section 7.2: 413; 4,096 bytes and fewer must be taken.
        raise WebPushError(
            "PayloadTooLarge", f"The body has {len(body)} bytes; at most {MOST_BODY} are taken"
        )
    if not body:
        return
    encoding = headers.get("content-encoding")
    if encoding != "aes128gcm":
        # RFC 8291, section 4: the one content coding of Web Push. Mozilla takes the draft's aesgcm too; Apple does not.
        raise WebPushError("BadEncryption", f"Content-Encoding must be aes128gcm, got {encoding!r}")
