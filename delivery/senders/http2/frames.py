"""The frames of HTTP/2 (RFC 9113, section 6) and the numbers in them."""

import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)

NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 0x0, 0x1, 0x7, 0x8
ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
LEAST_MAX_FRAME, MOST_MAX_FRAME = 2**14, 2**24 - 1
LAST_STREAM = 2**31 - 1
HEAD_BYTES = 9

_head = struct.Struct(">HBBBI").pack
read_head = struct.Struct(">HBBBI").unpack_from
"""Returns the length's upper 16 and lower 8 bits, kind, flags, stream."""
number = struct.Struct(">I").pack
read_number = struct.Struct(">I").unpack_from
_setting = struct.Struct(">HI")


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """Return a frame's head."""
    return _head(length >> 8, length & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return head(len(payload), kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """Return a SETTINGS frame, from names such as `max_frame_size`."""
    payload = b"".join(_setting.pack(globals()[name.upper()], value) for name, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return what a SETTINGS frame sets; raises `struct.error` for a length that cannot be."""
    return list(_setting.iter_unpack(payload))


def error_name(code: int) -> str:
    """Return an error code's name (RFC 9113, section 7)."""
    return ERRORS[code] if code < len(ERRORS) else f"error {code}"
