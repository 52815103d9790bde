"""What FCM accepts as a message, and which field it names when it does not."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from fleet.fcm_schema import Message, SendRequest
from fleet.tokens import looks_like_fcm

MOST_PAYLOAD = 4096
MOST_TTL = 4 * 7 * 24 * 3600
_DURATION = re.compile(r"(\d{1,12})(\.\d{1,9})?s").fullmatch
_TOPIC = re.compile(r"(/topics/)?[a-zA-Z0-9\-_.~%]+").fullmatch
_COLOR = re.compile(r"#[0-9a-fA-F]{6}").fullmatch
_LABEL = re.compile(r"[a-zA-Z0-9\-_.~%]{1,50}").fullmatch
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?", re.DOTALL).fullmatch
_WRONG = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?", re.DOTALL).fullmatch
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
# Below these names stand the app's own words; everywhere else Google takes camelCase for snake_case.
_FREE_FORM = frozenset({"data", "headers", "payload"})
_RESERVED = frozenset({"from", "message_type"})
_RESERVED_STARTS = ("google.", "gcm.")
_decode = msgspec.json.Decoder(SendRequest).decode


class MessageError(ValueError):
    """A message FCM refuses as INVALID_ARGUMENT.

    `field` is the path in the request, empty where Google names none. `by_parser`: refused before FCM
    saw it, so that FCM's own code is missing from the answer.
    """

    def __init__(self, field: str, description: str, *, by_parser: bool = False) -> None:
        super().__init__(description)
        self.field = field
        self.description = description
        self.by_parser = by_parser


def _unreadable(field: str, description: str) -> MessageError:
    return MessageError(field, description, by_parser=True)


def read(body: bytes) -> SendRequest:
    """Return the request if FCM would take it. Raises `MessageError`.

    The token's shape is left to `check_token`, which only an unknown token needs.
    """
    try:
        request = _decode(body)
    except msgspec.MsgspecError:
        request = _read_slowly(body)
    _check(request.message, size=len(body))
    return request


def _read_slowly(body: bytes) -> SendRequest:
    """Take what only the fast way refuses (camelCase, null data) or say what is wrong."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _unreadable("", f"Invalid JSON payload received. {error}") from error
    if not isinstance(raw, dict):
        raise _unreadable("", "Invalid JSON payload received. Root element must be a message.")
    raw = _snake(raw)
    if "message" not in raw:
        raise _unreadable("message", "The message is not set.")
    _check_data_values(raw)
    try:
        return msgspec.convert(raw, SendRequest)
    except msgspec.ValidationError as error:
        raise _translated(error) from error


def _snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            (name := _HUMP.sub(r"_\1", key).lower() if _HUMP.search(key) else key): (
                inner if name in _FREE_FORM else _snake(inner)
            )
            for key, inner in value.items()
        }
    return [_snake(inner) for inner in value] if isinstance(value, list) else value


def _check_data_values(raw: dict[str, Any]) -> None:
    """Name the place of a data value that is no string as Google does: `message.data[0].value`."""
    message = raw["message"]
    if not isinstance(message, dict):
        kind = "type.googleapis.com/google.firebase.fcm.v1.Message"
        raise _unreadable("message", f"Invalid value at 'message' ({kind}), {_shown(message)}")
    places = [("message", message)]
    places += [(f"message.{name}", message[name]) for name in ("android", "webpush") if name in message]
    for path, holder in places:
        data = holder.get("data") if isinstance(holder, dict) else None
        for index, value in enumerate(data.values() if isinstance(data, dict) else ()):
            if not isinstance(value, str):
                field = f"{path}.data[{index}].value"
                raise _unreadable(field, f"Invalid value at '{field}' (TYPE_STRING), {_shown(value)}")


def _translated(error: msgspec.ValidationError) -> MessageError:
    unknown = _UNKNOWN(str(error))
    if unknown:
        name, path = unknown.group(1), unknown.group(2) or ""
        place = f" at '{path}'" if path else ""
        return _unreadable(
            path, f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
        )
    wrong = _WRONG(str(error))
    reason, path = (wrong.group(1), wrong.group(2) or "") if wrong else (str(error), "")
    return _unreadable(path, f"Invalid value at '{path}', {reason}")


def _check(message: Message, *, size: int) -> None:
    _check_target(message)
    if message.data:
        _check_keys("message.data", message.data)
    android = message.android
    if android is not None:
        if android.data:
            _check_keys("message.android.data", android.data)
        if android.ttl is not None:
            _check_ttl(android.ttl)
        shown = android.notification
        if shown is not None and shown.color is not None and not _COLOR(shown.color):
            raise MessageError("message.android.notification.color", "Color must be in the form #RRGGBB")
    label = None if message.fcm_options is None else message.fcm_options.analytics_label
    if label is not None and not _LABEL(label):
        raise MessageError("message.fcm_options.analytics_label", "Invalid analytics label.")
    # The whole request is larger than its payload, so a small one needs no count.
    if size > MOST_PAYLOAD and _payload_size(message) > MOST_PAYLOAD:
        raise MessageError("message", "Android message is too big")


def check_token(token: str) -> None:
    """Raise `MessageError` for what cannot be a registration token, dead or alive."""
    if not looks_like_fcm(token):
        raise MessageError("", "The registration token is not a valid FCM registration token")


def _check_target(message: Message) -> None:
    if message.token is not None and message.topic is None and message.condition is None:
        return
    targets = [name for name in ("token", "topic", "condition") if getattr(message, name) is not None]
    if not targets:
        raise MessageError("message", "Recipient of the message is not set.")
    if len(targets) > 1:
        raise _unreadable(
            "message",
            "Invalid value at 'message' (oneof), oneof field 'target' is already set. "
            f"Cannot set '{targets[1]}'",
        )
    if message.topic is not None and not _TOPIC(message.topic):
        raise MessageError("message.topic", "Invalid topic name provided")
    if message.condition == "":
        raise MessageError("message.condition", "Invalid condition expression provided.")


def _check_keys(field: str, data: dict[str, str]) -> None:
    for key in data:
        if key in _RESERVED or key.startswith(_RESERVED_STARTS):
            raise MessageError(field, f"Invalid data payload key: {key}")


@lru_cache(maxsize=1024)
def _check_ttl(ttl: str) -> None:
    field = "message.android.ttl"
    duration = _DURATION(ttl)
    if duration is None:
        raise _unreadable(
            field,
            f"Invalid value at '{field}' (type.googleapis.com/google.protobuf.Duration), "
            f"Field 'ttl', Illegal duration format; duration must end with 's', {_shown(ttl)}",
        )
    if int(duration.group(1)) > MOST_TTL:
        raise MessageError(field, f"Invalid TTL: at most {MOST_TTL} seconds (four weeks)")


def _payload_size(message: Message) -> int:
    """Count the bytes that reach the phone: data keys and values, and the notification's texts."""
    size = 0
    android = message.android
    for data in (message.data, android and android.data):
        size += sum(len(key.encode()) + len(value.encode()) for key, value in (data or {}).items())
    for notice in (message.notification, android and android.notification):
        texts = () if notice is None else msgspec.structs.astuple(notice)
        size += sum(len(text.encode()) for text in texts if isinstance(text, str))
    return size


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:200]
