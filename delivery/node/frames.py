"""The frames of `/ws/v1/`: what a node writes and what it takes from a device (JSON, told apart by `type`)."""

from collections.abc import Sequence

import msgspec

INBOUND_LIMIT = 16_384
"""Bytes of the longest frame a device may send."""

TOKEN_REFUSED = 4401
ORIGIN_REFUSED = 4403
REPLACED = 4409
TOO_BIG = 4413
SILENT = 4408
FAILED = 4500
TOO_MANY = 4429
MOVE = 1012
TRY_AGAIN_LATER = 1013
"""After `SILENT` and those behind it a device comes back. From 4000 on they are private, the others are registered
(RFC 6455 section 7.4)."""
PROTOCOL = "notifyhub.v1"
AUTH_PREFIX = "notifyhub.auth."


class Auth(msgspec.Struct, frozen=True, tag="auth"):
    """The token, when it did not come as a subprotocol; within five seconds."""

    token: str
    cursor: str | None = None


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """Where the device's reading stands; its first frame when the token came as a subprotocol."""

    cursor: str | None = None


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """The highest `seq` the device has stored, or single ids."""

    seq: int | None = None
    ids: list[str] = []


class Receipt(msgspec.Struct, frozen=True, tag="receipt"):
    """What happened to notifications on the device."""

    ids: list[str]
    kind: str


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """A sign of life; answered with `pong`."""


Inbound = Auth | Resume | Ack | Receipt | Ping
read = msgspec.json.Decoder(Inbound).decode
_json = msgspec.json.Encoder().encode

PONG = b'{"type":"pong"}'
MISSED = b'{"type":"missed"}'
"""Recalls and marks may have passed this device by: it asks about what it shows (`GET /api/v1/inbox/marks`)."""
RESYNC = b'{"type":"resync"}'
"""Too much waited for this device: it drops the connection, comes back, and reads its log from its cursor."""


def hello(*, device: str, node: str, cursor: str, recovered: bool) -> bytes:
    """Return the frame that opens a connection; `recovered` is false when the log no longer reaches back."""
    return _json({"type": "hello", "device": device, "node": node, "cursor": cursor, "recovered": recovered})


def entries(seq: int, parts: list[bytes], cursor: bytes) -> bytes:
    """Return a frame of entries that are JSON text already."""
    return b'{"type":"entries","seq":%d,"cursor":"%b","entries":[%b]}' % (seq, cursor, b",".join(parts))


def recall(run: str) -> bytes:
    """Return the frame that takes back what a run said."""
    return _json({"type": "recall", "run": run})


def marked(ids: Sequence[str], state: str) -> bytes:
    """Return the frame that says that notifications were read or archived on another device of the subscriber."""
    return _json({"type": "marked", "ids": ids, "state": state})


def message(source: str, data: bytes) -> bytes:
    """Return the frame of what another device of the subscriber says; `data` is JSON text already."""
    return b'{"type":"message","sender":"%b","data":%b}' % (source.encode(), data)


def reconnect(after_ms: int) -> bytes:
    """Return the frame that asks a device to open a new socket after a delay, then to close this one."""
    return _json({"type": "reconnect", "after_ms": after_ms})


def closed(code: int) -> bytes:
    """Return the last event of a stream, which has no close of its own: one of the codes above."""
    return _json({"type": "closed", "code": code})


def error(title: str, detail: str) -> bytes:
    """Return the frame that tells a device what was wrong with its last one."""
    return _json({"type": "error", "problem": {"title": title, "detail": detail}})
