"""A payload with gaps: its static part is built once, only the gaps are filled for a message."""

import secrets
from operator import itemgetter

import msgspec

_encode = msgspec.json.Encoder().encode


class Marks:
    """Texts that stand in a payload where a message's own values will; nothing else contains them."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self._marks = {name: f"{secrets.token_hex(16)}-{number}" for number, name in enumerate(names)}

    def __getitem__(self, name: str) -> str:
        return self._marks[name]

    def template(self, payload: bytes) -> "Template":
        """Return a JSON payload that holds marks as whole string values, as a template.

        Raises `ValueError` for a mark that is only a part of a string: it could not be filled.
        """
        marks = list(self._marks.values())
        made = Template(payload, [_encode(mark) for mark in marks])
        for mark in marks:
            if mark.encode() in made.static:
                raise ValueError("a value is used as a part of a longer text")
        return made


class Template:
    """JSON in pieces, with gaps for strings."""

    def __init__(self, payload: bytes, gaps: list[bytes]) -> None:
        found = sorted((at, number) for number, gap in enumerate(gaps) for at in _all_of(payload, gap))
        # Text and gap take turns, so that all gaps are one slice.
        self._pieces: list[bytes] = []
        start = 0
        for at, number in found:
            self._pieces += (payload[start:at], b"")
            start = at + len(gaps[number])
        self._pieces.append(payload[start:])
        # itemgetter returns a bare value for one place and needs at least one: two are always asked for.
        self._gaps = len(found)
        places = [number for _, number in found]
        self._pick = itemgetter(*places, *[0] * max(0, 2 - len(places)))

    @property
    def static(self) -> bytes:
        """The payload without its gaps."""
        return b"".join(self._pieces)

    def fill(self, *values: str) -> bytes:
        """Return the payload with the values, in the order of the marks' names.

        Raises `UnicodeEncodeError` for a text with half of a surrogate pair.
        """
        pieces = self._pieces.copy()
        pieces[1::2] = [*map(_encode, self._pick(values))][: self._gaps]
        return b"".join(pieces)


def _all_of(payload: bytes, gap: bytes) -> list[int]:
    places = []
    at = payload.find(gap)
    while at >= 0:
        places.append(at)
        at = payload.find(gap, at + len(gap))
    return places
