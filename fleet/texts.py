"""Texts kept once and compactly: the arena for what notices say, numbers for names that return."""

from __future__ import annotations

_REMEMBERED = 50_000


class TextArena:
    """An append-only store of texts; a text that returned lately is not stored again.

    A million personalised texts of 80 bytes take 80 MB here and 130 MB as Python objects.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._recent: dict[str, int] = {}

    def put(self, text: str) -> int:
        """Store a text and return where it stands."""
        place = self._recent.get(text)
        if place is None:
            encoded = text.encode("utf-8", "surrogatepass")
            place = len(self._bytes)
            self._bytes += len(encoded).to_bytes(4, "little")
            self._bytes += encoded
            if len(self._recent) >= _REMEMBERED:
                self._recent.clear()
            self._recent[text] = place
        return place

    def get(self, place: int) -> str:
        """Return the text that stands there."""
        length = int.from_bytes(self._bytes[place : place + 4], "little")
        return self._bytes[place + 4 : place + 4 + length].decode("utf-8", "surrogatepass")


class Names:
    """Names and their numbers, counted from 0."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def number(self, name: str) -> int:
        """Return the name's number, given on first sight."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number

    def known(self, name: str) -> int | None:
        """Return the name's number, None where it never came."""
        return self._numbers.get(name)

    def name(self, number: int) -> str:
        return self._names[number]

    def __len__(self) -> int:
        return len(self._names)
