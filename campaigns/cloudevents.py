"""CloudEvents 1.0 in their JSON form: from a document to an event, or to what is wrong with it.

Sources: CloudEvents 1.0.2, sections "Context Attributes" and "Size Limits"; JSON Event Format for
CloudEvents 1.0.2, sections 2 and 3; RFC 3339 section 5.6; RFC 3986 section 2.
"""

import base64
import binascii
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from campaigns.canonical import UnstorableError, canonical
from devices.problem_values import Problem

SIZE_LIMIT = 64 * 1024
"""Bytes of an event in canonical JSON; a forwarder need not take more (section "Size Limits")."""

REQUIRED = {"id": 200, "source": 300, "type": 150}
"""The attributes every event has beside `specversion`, and the most characters of each."""
SUBJECT_LIMIT = 255

_NAME = re.compile(r"[a-z0-9]{1,40}")
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+\s*(?:;.*)?", re.ASCII)
_JSON_TYPE = re.compile(r"[^;]*[/+]json\s*(?:;.*)?", re.IGNORECASE)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class CloudEvent(msgspec.Struct, frozen=True):
    """A valid event; `time` is None when it says none, `digest` is of the whole document."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime | None
    data: Any
    digest: str


class EventError(Exception):
    """A document that is no CloudEvent, with the problem to answer."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


def read(document: Any) -> CloudEvent:
    """Return the event in a document of decoded JSON; raises `EventError`.

    `data_base64` of a JSON content type is decoded, of any other it stays as its text. An
    attribute that is null counts as absent (JSON format section 2.2).
    """
    if not isinstance(document, dict):
        raise invalid("", f"an event is a JSON object, not {_kind(document)}")
    given = {name: value for name, value in document.items() if name == "data" or value is not None}
    for name in given:
        if name not in ("data", "data_base64") and not _NAME.fullmatch(name):
            raise invalid(name, "names of attributes are of lower-case letters a to z and digits, 40 at most")
    if given.get("specversion") != "1.0":
        raise invalid("specversion", 'write "specversion": "1.0"')
    texts = {name: _text(given, name, limit) for name, limit in REQUIRED.items()}
    if not _URI_REFERENCE.fullmatch(texts["source"]):
        raise invalid(
            "source",
            "is a URI reference, as /shop/orders or https://shop.example.com, other characters encoded",
        )
    subject = _text(given, "subject", SUBJECT_LIMIT) if "subject" in given else ""
    for name in ("datacontenttype", "dataschema"):
        if name in given:
            _text(given, name, 300)
    content_type = given.get("datacontenttype", "application/json")
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise invalid("datacontenttype", "is a media type, as application/json")
    for name, value in given.items():
        if name not in ("data", "data_base64") and not isinstance(value, str | bool | int):
            raise invalid(name, f"an attribute is a text, a whole number or a boolean, not {_kind(value)}")
    try:
        body = canonical(document)
    except UnstorableError as error:
        raise invalid("", str(error)) from None
    if len(body) > SIZE_LIMIT:
        detail = (
            f"The event has {len(body):,} bytes; {SIZE_LIMIT:,} are the most. Send a link to what is large."
        )
        raise EventError(Problem(413, "event-too-large", "The event is too large", detail))
    return CloudEvent(
        id=texts["id"],
        source=texts["source"],
        type=texts["type"],
        subject=subject,
        time=_time(given["time"]) if "time" in given else None,
        data=_data(given, content_type),
        digest=hashlib.sha256(body).hexdigest(),
    )


def invalid(name: str, reason: str) -> EventError:
    """Return the error for an attribute that is not as it should be; an empty name for the whole event."""
    detail = f"“{name}”: {reason}." if name else f"{reason[0].upper()}{reason[1:]}."
    pointer = "/" + name.replace("~", "~0").replace("/", "~1") if name else ""
    return EventError(Problem(400, "event-invalid", "This is no valid CloudEvent", detail, pointer))


def _text(given: dict[str, Any], name: str, limit: int) -> str:
    if name not in given:
        raise invalid(name, "is required")
    value = given[name]
    if not isinstance(value, str):
        raise invalid(name, f"is a text, not {_kind(value)}")
    if not value.strip():
        raise invalid(name, "is empty")
    if len(value) > limit:
        raise invalid(name, f"has {len(value)} characters; {limit} are the most")
    return value


def _time(value: Any) -> datetime:
    reason = "is an instant as RFC 3339 writes it, as 2026-01-31T09:30:00Z"
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise invalid("time", reason)
    day, minute, second, fraction, offset = found.groups()
    second = "59" if second == "60" else second  # a leap second, which datetime does not know
    try:
        return datetime.fromisoformat(
            f"{day}T{minute}:{second}{(fraction or '')[:7]}{offset.upper()}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid("time", reason) from None


def _data(given: dict[str, Any], content_type: str) -> Any:
    if "data_base64" not in given:
        return given.get("data")
    if "data" in given:
        raise invalid("data_base64", "stands beside “data”; send one of them")
    try:
        raw = base64.b64decode(given["data_base64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise invalid("data_base64", "is no Base64 (RFC 4648 section 4)") from None
    if not _JSON_TYPE.fullmatch(content_type):
        return given["data_base64"]
    try:
        data = json.loads(raw)
        canonical(data)
    except (ValueError, RecursionError):
        raise invalid("data_base64", f"holds no JSON, though “datacontenttype” says {content_type}") from None
    return data


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
