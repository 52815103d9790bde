"""The identity and the place of a log entry, and the opaque cursor that points behind one.

A position is 16 bytes that sort as the log does: a version 1 UUID's timestamp (100 ns since
1582-10-15, RFC 9562 section 5.1), big-endian, then eight bytes made from the notification's
id. Those eight are kept below 0x80 (but for the variant), because Cassandra compares the low
half of a timeuuid byte by byte with sign.
"""

import binascii
import hashlib
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable

COMMIT_WINDOW = 10.0
"""W: seconds within which a page commits after its stamp, else it is stamped anew."""
CLOCK_SKEW = 2.0
"""Seconds by which the clocks of database, nodes and web servers may differ."""

START = bytes(16)
"""The position before every entry."""

_GREGORIAN = 0x01B21DD213814000
_LOW_MASK = int.from_bytes(b"\x3f" + b"\x7f" * 7, "big")
_LOW_VARIANT = 0x80 << 56
_LOWEST = _LOW_VARIANT.to_bytes(8, "big")


class CursorError(ValueError):
    """A cursor that this server did not make."""


def notification_id(run: uuid.UUID, subscriber: uuid.UUID, occurrence: str = "") -> uuid.UUID:
    """Return the identity of what one run tells one subscriber, the same for ever (UUIDv5)."""
    return uuid.UUID(bytes=identity(run.bytes, subscriber.bytes, occurrence))


def identity(run: bytes, subscriber: bytes, occurrence: str = "") -> bytes:
    """Return `notification_id` as 16 bytes, of 16 bytes each: RFC 9562 section 5.5, without the objects.

    The name is the subscriber's 32 hexadecimal digits and the occurrence.
    """
    name = run + (subscriber.hex() + occurrence).encode()
    digest = bytearray(hashlib.sha1(name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def text_of(identity: bytes) -> str:
    """Return 16 bytes as a UUID is written."""
    digits = identity.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def position(stamp: float, notification: bytes) -> bytes:
    """Return the place in the log of a notification (16 bytes) stamped at `stamp` (epoch seconds)."""
    return _ticks(stamp) + _low(notification)


def of_page(stamp: float) -> Callable[[bytes], bytes]:
    """Return `position` for the notifications of one page, whose stamp is one."""
    ticks = _ticks(stamp)
    return lambda notification: ticks + _low(notification)


def _ticks(stamp: float) -> bytes:
    return (int(stamp * 10_000_000) + _GREGORIAN).to_bytes(8, "big")


def _low(notification: bytes) -> bytes:
    return (int.from_bytes(notification[8:], "big") & _LOW_MASK | _LOW_VARIANT).to_bytes(8, "big")


def floor(at: float) -> bytes:
    """Return the position before every entry stamped at or after `at` (epoch seconds)."""
    return max(0, int(at * 10_000_000) + _GREGORIAN).to_bytes(8, "big") + bytes(8)


def before(place: bytes) -> bytes:
    """Return the position right before one."""
    return max(0, int.from_bytes(place, "big") - 1).to_bytes(16, "big")


def stamp_of(place: bytes) -> float:
    """Return the instant (epoch seconds) that a position was stamped with."""
    return (int.from_bytes(place[:8], "big") - _GREGORIAN) / 10_000_000


def timeuuids(stamp: float) -> Callable[[bytes], bytes]:
    """Return what makes of a page's notifications the timeuuids (16 bytes) that Cassandra sorts as positions."""
    high = _high(_ticks(stamp))
    return lambda notification: high + _low(notification)


def _high(ticks: bytes) -> bytes:
    """Return a position's first half as a timeuuid has it."""
    time = int.from_bytes(ticks, "big")
    swapped = ((time & 0xFFFFFFFF) << 32) | ((time >> 32 & 0xFFFF) << 16) | 0x1000 | (time >> 48 & 0x0FFF)
    return swapped.to_bytes(8, "big")


def to_timeuuid(place: bytes) -> uuid.UUID:
    """Return a position as the timeuuid that Cassandra sorts alike."""
    return uuid.UUID(bytes=_high(place[:8]) + (place[8:] if any(place[8:]) else _LOWEST))


def from_timeuuid(value: uuid.UUID) -> bytes:
    """Return the position that `to_timeuuid` was given."""
    return value.time.to_bytes(8, "big") + value.bytes[8:]


def cursor(place: bytes, now: float) -> str:
    """Return the opaque bookmark behind `place`, but never later than now − W − skew.

    An entry may be committed W after its stamp, so a bookmark closer to now could pass over one
    that is still to come; the reader sees the last seconds twice and drops them by id.
    """
    return encode(min(place, floor(now - COMMIT_WINDOW - CLOCK_SKEW)))


SEEN = 40
"""Entries that a bookmark can name as seen beside its place."""
_PREFIX = 6
"""Bytes of an id that tell forty entries of one subscriber apart."""


def encode(place: bytes, seen: Iterable[bytes] = ()) -> str:
    """Return a position as the text of a cursor.

    `seen` are ids (16 bytes) of entries behind the position that need not be read again; the last forty are kept.
    """
    prefixes = b"".join([one[:_PREFIX] for one in seen][-SEEN:])
    raw = b"\x02" + place + prefixes if prefixes else b"\x01" + place
    return urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Return the position in a cursor; raises `CursorError` for anything the server did not make."""
    return _opened(text)[0]


def decode_seen(text: str) -> tuple[bytes, Callable[[bytes], bool]]:
    """Return the position in a cursor, and what says of an id whether the cursor names it as seen."""
    place, prefixes = _opened(text)
    held = {prefixes[at : at + _PREFIX] for at in range(0, len(prefixes), _PREFIX)}
    return place, lambda identity: identity[:_PREFIX] in held


def _opened(text: str) -> tuple[bytes, bytes]:
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError, UnicodeEncodeError):
        raw = b""
    more = len(raw) - 17
    if (raw[:1] == b"\x01" and not more) or (
        raw[:1] == b"\x02" and 0 < more <= SEEN * _PREFIX and more % _PREFIX == 0
    ):
        return raw[1:17], raw[17:]
    raise CursorError("This cursor was not made by this server; start without one.")
