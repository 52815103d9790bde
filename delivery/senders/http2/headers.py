"""Header blocks (HPACK, RFC 7541): requests are written with a table, answers are read without one.

We tell servers that our table has no room, so every answer's block stands for itself, and of it only the status and
Retry-After are looked for. What requests share is put into the server's table once and named by a number from then
on; what differs stands in the open.
"""

import time
from collections import deque
from email.utils import parsedate_to_datetime
from functools import lru_cache

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman

TABLE_BYTES = 4_096
"""The most that is kept in a server's table; a server may allow less."""
STATIC_FIELDS = 61
POST, HTTPS, AUTHORITY, PATH, CONTENT_LENGTH = b"\x83", b"\x87", 1, 4, 28
STATUS_200 = 0x88
_STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
_STATUS_NAME, _RETRY_AFTER_NAME = range(8, 15), 53
_OVERHEAD = 32
"""What a field counts in the table besides name and value (RFC 7541, section 4.1)."""


class BlockError(ValueError):
    """A header block that cannot be read."""


def integer(value: int, bits: int, pattern: int) -> bytes:
    """Return a number that begins in the lower bits of a byte (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((pattern | value,))
    written = bytearray((pattern | most,))
    value -= most
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


_LENGTHS = [integer(length, 7, 0) for length in range(512)]


def text(value: bytes) -> bytes:
    """Return a string in the open; Huffman's code would save bytes and cost time."""
    length = len(value)
    return (_LENGTHS[length] if length < 512 else integer(length, 7, 0)) + value


def fields(lines: list[str]) -> list[tuple[bytes, bytes]]:
    """Return header lines as names and values; a line without a value asks for no such header."""
    found = []
    for line in lines:
        name, _, value = line.partition(":")
        if value := value.strip():
            found.append((name.strip().lower().encode(), value.encode("utf-8")))
    return found


class Writer:
    """Writes the blocks of one connection, in the order in which they are sent.

    Names in `bare` are never put into the server's table with a value.
    """

    def __init__(
        self, authority: str, *, room: int = TABLE_BYTES, bare: frozenset[bytes] = frozenset()
    ) -> None:
        self._room = min(room, TABLE_BYTES)
        self._bare = bare
        self._table: deque[tuple[bytes, bytes]] = deque()
        self._size = 0
        self._added = 0
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._names: dict[bytes, int] = {}
        self._resize = integer(self._room, 5, 0x20) if self._room < TABLE_BYTES else b""
        self._authority = (b":authority", authority.encode())
        self._shared: dict[int, tuple[list[str], int, bytes, bytes]] = {}
        self._path = ""
        self._path_field = b""
        self._prefixes: dict[str, tuple[int, bytes]] = {}

    def block(self, path: str, lines: list[str], own: tuple[tuple[str, str], ...], length: int) -> bytes:
        """Return the block of a POST: with the shared lines, its own names and values, and its body's length.

        The same list object again is cheaper.
        """
        shared = self._shared.get(id(lines))
        if shared is None or shared[1] != self._added or shared[0] is not lines:
            shared = self._share(lines)
        if path is not self._path:
            self._path = path
            self._path_field = b"\x04" + text(path.encode())  # PATH, not put into the table
        digits = b"%d" % length
        parts = [shared[2], self._path_field, shared[3], b"\x0f\x0d", _LENGTHS[len(digits)], digits]
        for name, value in own:
            prefix = self._prefixes.get(name)
            if prefix is None:
                parts.append(self._introduce(name, value))
                continue
            if prefix[0] != self._added:
                prefix = self._prefix(name)
            parts += (prefix[1], text(value.encode()))
        return b"".join(parts)

    def _share(self, lines: list[str]) -> tuple[list[str], int, bytes, bytes]:
        before = self._added
        head = self._resize + POST + HTTPS + self._field(*self._authority)
        self._resize = b""
        rest = b"".join(self._field(name, value) for name, value in fields(lines))
        # What was just put in stands in the block in the open: the next one with these lines is another.
        shared = (lines, self._added if before == self._added else -1, head, rest)
        if len(self._shared) >= 64:
            self._shared.clear()
        self._shared[id(lines)] = shared
        return shared

    def _introduce(self, name: str, value: str) -> bytes:
        """Return a field whose name has not been sent before; it is put into the table for its name's sake."""
        self._prefixes[name] = (-1, b"")
        return self._field(name.lower().encode(), value.encode())

    def _prefix(self, name: str) -> tuple[int, bytes]:
        """Return how a field of this name begins that is not put into the table, though its name is."""
        encoded = name.lower().encode()
        known = self._names.get(encoded)
        number = 0 if known is None else STATIC_FIELDS + self._added - known
        prefix = (self._added, integer(number, 4, 0) if number else b"\x00" + text(encoded))
        self._prefixes[name] = prefix
        return prefix

    def _field(self, name: bytes, value: bytes) -> bytes:
        """Return a field, by its number in the table, where it is put unless it must not or does not fit."""
        known = self._numbers.get((name, value))
        if known is not None:
            return integer(STATIC_FIELDS + self._added - known, 7, 0x80)
        size = len(name) + len(value) + _OVERHEAD
        if name in self._bare or size > self._room // 2:
            return b"\x10" + text(name) + text(value)
        while self._size + size > self._room:
            self._evict()
        self._numbers[(name, value)] = self._names[name] = self._added
        self._table.append((name, value))
        self._added += 1
        self._size += size
        return b"\x40" + text(name) + text(value)

    def _evict(self) -> None:
        name, value = self._table.popleft()
        number = self._numbers.pop((name, value))
        if self._names.get(name) == number:
            del self._names[name]
        self._size -= len(name) + len(value) + _OVERHEAD


def read(block: bytes) -> tuple[int, int]:
    """Return an answer's status and its Retry-After in seconds, 0 for what is missing; raises `BlockError`."""
    try:
        if block[0] == STATUS_200:
            return 200, 0
        return _read(block)
    except (IndexError, ValueError, HPACKDecodingError) as error:
        raise BlockError(str(error)) from error


def _read(block: bytes) -> tuple[int, int]:
    status = wait = at = 0
    while at < len(block):
        byte = block[at]
        if byte & 0x80:
            name, at = _integer(block, at, 7)
            status = _STATUSES.get(name, status)
            if not 0 < name <= STATIC_FIELDS:
                raise BlockError("a field of a table that we do not keep")
            continue
        if byte & 0xE0 == 0x20:
            size, at = _integer(block, at, 5)
            if size:
                raise BlockError("a table of a size that we do not allow")
            continue
        name, at = _integer(block, at, 6 if byte & 0x40 else 4)
        if name > STATIC_FIELDS:
            raise BlockError("a name of a table that we do not keep")
        word = b""
        if not name:
            word, at = _string(block, at)
        value, at = _string(block, at)
        if name in _STATUS_NAME or word == b":status":
            status = int(value)
        elif name == _RETRY_AFTER_NAME or word == b"retry-after":
            wait = seconds(value)
    return status, wait


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    for shift in range(0, 28, 7):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BlockError("a number without an end")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    is_huffman = block[at] & 0x80
    length, at = _integer(block, at, 7)
    end = at + length
    if end > len(block):
        raise BlockError("a string longer than its block")
    raw = block[at:end]
    return (_from_huffman(raw) if is_huffman else raw), end


@lru_cache(maxsize=512)
def _from_huffman(raw: bytes) -> bytes:
    return bytes(decode_huffman(raw))


def seconds(value: bytes) -> int:
    """Return a Retry-After in seconds from now, given so or as a date; 0 for anything else."""
    try:
        if value.isdigit():
            return min(int(value), 10**9)
        return max(0, round(parsedate_to_datetime(value.decode()).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return 0
