"""A payload with gaps: its static part is built once for a content, only the gaps are filled for a message."""

import secrets

import msgspec

_encode = msgspec.json.Encoder().encode


class Marks:
    """Texts that stand in a payload where a message's own values will; nothing else contains them."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self._marks = [f"{secrets.token_hex(16)}-{name}" for name in names]

    def __getitem__(self, name: str) -> str:
        return self._marks[self.names.index(name)]

    def template(self, payload: bytes) -> "Template":
        """Return a JSON payload that holds marks as whole string values, as a template."""
        return Template(payload, [_encode(mark) for mark in self._marks])


class Template:
    """JSON in pieces, with gaps for strings."""

    def __init__(self, payload: bytes, gaps: list[bytes]) -> None:
        found = sorted((at, number) for number, gap in enumerate(gaps) for at in _all_of(payload, gap))
        self._pieces: list[bytes] = []
        self._slots: list[tuple[int, int]] = []
        start = 0
        for at, number in found:
            self._pieces.append(payload[start:at])
            self._slots.append((len(self._pieces), number))
            self._pieces.append(b"")
            start = at + len(gaps[number])
        self._pieces.append(payload[start:])

    def fill(self, *values: str) -> bytes:
        """Return the payload with the values, in the order of the marks' names."""
        pieces = self._pieces.copy()
        for slot, number in self._slots:
            pieces[slot] = _encode(values[number])
        return b"".join(pieces)


def _all_of(payload: bytes, gap: bytes) -> list[int]:
    places = []
    at = payload.find(gap)
    while at >= 0:
        places.append(at)
        at = payload.find(gap, at + len(gap))
    return places
