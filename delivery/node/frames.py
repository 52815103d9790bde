"""The frames of `/ws/v1/`: what a node writes and what it takes from a device (JSON, told apart by `type`)."""

from typing import Any

import msgspec

INBOUND_LIMIT = 16_384
"""Bytes of the longest frame a device may send."""

TOKEN_REFUSED = 4401
ORIGIN_REFUSED = 4403
REPLACED = 4409
TOO_BIG = 4413
SILENT = 4408
FAILED = 4500
"""After `SILENT` and `FAILED` a device comes back. All are private codes: Autobahn, which Daphne
writes with, lets an application send no registered one but 1000 (RFC 6455 section 7.4.2)."""
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

PONG = '{"type":"pong"}'


def hello(*, device: str, node: str, cursor: str, recovered: bool) -> str:
    """Return the frame that opens a connection; `recovered` is false when the log no longer reaches back."""
    return _text({"type": "hello", "device": device, "node": node, "cursor": cursor, "recovered": recovered})


def entries(seq: int, parts: list[bytes], cursor: str) -> str:
    """Return a frame of entries that are JSON text already."""
    head = b'{"type":"entries","seq":%d,"cursor":"%s","entries":[' % (seq, cursor.encode())
    return (head + b",".join(parts) + b"]}").decode()


def recall(run: str) -> str:
    """Return the frame that takes back what a run said."""
    return _text({"type": "recall", "run": run})


def reconnect(after_ms: int) -> str:
    """Return the frame that asks a device to open a new socket after a delay, then to close this one."""
    return _text({"type": "reconnect", "after_ms": after_ms})


def error(title: str, detail: str) -> str:
    """Return the frame that tells a device what was wrong with its last one."""
    return _text({"type": "error", "problem": {"title": title, "detail": detail}})


def _text(value: dict[str, Any]) -> str:
    return _json(value).decode()
