"""HTTP/2's frames, as bytes: what the fleet's server reads and writes.

Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK). Answers use no dynamic table, so that encoding needs no state.
"""

from __future__ import annotations

import struct
from functools import lru_cache

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
MOST_FRAME = 16_384

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

SETTINGS_ENABLE_PUSH = 0x2
SETTINGS_MAX_CONCURRENT_STREAMS = 0x3
SETTINGS_INITIAL_WINDOW_SIZE = 0x4
SETTINGS_MAX_HEADER_LIST_SIZE = 0x6

# RFC 9113, section 7.
ERRORS: dict[str, int] = {
    "NO_ERROR": 0x0,
    "PROTOCOL_ERROR": 0x1,
    "INTERNAL_ERROR": 0x2,
    "FLOW_CONTROL_ERROR": 0x3,
    "STREAM_CLOSED": 0x5,
    "FRAME_SIZE_ERROR": 0x6,
    "REFUSED_STREAM": 0x7,
    "CANCEL": 0x8,
    "COMPRESSION_ERROR": 0x9,
    "ENHANCE_YOUR_CALM": 0xB,
}

# Length and type share the first four bytes.
_pack_head = struct.Struct(">IBI").pack
read_head = struct.Struct(">IBI").unpack_from
_pack_setting = struct.Struct(">HI").pack
read_settings = struct.Struct(">HI").iter_unpack
_SHORT = 127
_SIZES = [bytes((size,)) for size in range(_SHORT)]
# RFC 7541, appendix A: the statuses that one byte says.
_STATUS = {200: b"\x88", 204: b"\x89", 206: b"\x8a", 304: b"\x8b", 400: b"\x8c", 404: b"\x8d", 500: b"\x8e"}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame; the payload must fit in MOST_FRAME."""
    return _pack_head(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_pack_setting(name, value) for name, value in values.items()))


def window_update(stream: int, more: int) -> bytes:
    """Return leave to send so many more bytes."""
    return frame(WINDOW_UPDATE, 0, stream, more.to_bytes(4, "big"))


def reset(stream: int, code: int) -> bytes:
    """Return the end of a stream by an error."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last_stream: int, code: int, debug: bytes = b"") -> bytes:
    """Return the end of a connection; streams above `last_stream` were not looked at."""
    return frame(GOAWAY, 0, 0, last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def answer_headers(stream: int, status: int, fields: list[tuple[str, str]], *, ends: bool) -> bytes:
    """Return the HEADERS frame of an answer."""
    block = _STATUS.get(status) or _status(status)
    for name, value in fields:
        size = len(value)
        if size < _SHORT:
            block += _named(name) + _SIZES[size] + value.encode("latin-1")
        else:
            block += _named(name) + _string(value.encode("latin-1"))
    flags = END_HEADERS | END_STREAM if ends else END_HEADERS
    return _pack_head(len(block) << 8 | HEADERS, flags, stream) + block


@lru_cache(maxsize=64)
def _status(status: int) -> bytes:
    return b"\x08" + _string(str(status).encode())  # the name by its index, the value not indexed


@lru_cache(maxsize=256)
def _named(name: str) -> bytes:
    return b"\x00" + _string(name.encode("latin-1"))


def _string(raw: bytes) -> bytes:
    """Return a string literal without Huffman coding (RFC 7541, sections 5.1 and 5.2)."""
    if len(raw) < _SHORT:
        return _SIZES[len(raw)] + raw
    rest = len(raw) - _SHORT
    head = bytearray(b"\x7f")
    while rest >= 128:
        head.append(rest & 127 | 128)
        rest >>= 7
    head.append(rest)
    return bytes(head) + raw
