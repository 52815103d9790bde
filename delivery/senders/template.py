"""A payload with gaps: its static part is built once, only the gaps are filled for a message.

What fills them is a function made for the payload, a single expression: loops over the gaps take twice as long.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
Fill = Callable[..., bytes]


class Marks:
    """Texts that stand in a payload where a message's own values will; nothing else contains them."""

    def __init__(self, *names: str) -> None:
        self._marks = {name: f"{secrets.token_hex(16)}-{number}" for number, name in enumerate(names)}

    def __getitem__(self, name: str) -> str:
        return self._marks[name]

    def template(
        self,
        payload: bytes,
        *,
        arguments: Iterable[str] | None = None,
        reads: Mapping[str, str] | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> Fill:
        """Return what fills a JSON payload that holds marks as whole string values.

        It takes the values in the order of the marks' names. Or it takes `arguments`, and `reads` says for each
        mark by which expression of them its JSON is made: `encode` is known there, and the `constants` are.
        Raises `ValueError` for a mark that is only a part of a string: it could not be filled.
        """
        if arguments is None or reads is None:
            arguments, reads = self._marks, {name: f"encode({name})" for name in self._marks}
        known: dict[str, Any] = {"join": b"".join, "encode": _encode, **(constants or {})}
        parts: list[str] = []
        start = 0
        for at, name, length in sorted(self._places(payload)):
            known[f"piece{len(parts)}"] = payload[start:at]
            parts += (f"piece{len(parts)}", reads[name])
            start = at + length
        known[f"piece{len(parts)}"] = payload[start:]
        parts.append(f"piece{len(parts)}")
        static = b"".join(piece for name, piece in known.items() if name.startswith("piece"))
        if any(mark.encode() in static for mark in self._marks.values()):
            raise ValueError("a value is used as a part of a longer text")
        # Of the payload and the values nothing is in the source: they are constants and arguments.
        made: Fill = eval(f"lambda {', '.join(arguments)}: join(({', '.join(parts)},))", known)
        return made

    def _places(self, payload: bytes) -> Iterable[tuple[int, str, int]]:
        for name, mark in self._marks.items():
            gap = _encode(mark)
            at = payload.find(gap)
            while at >= 0:
                yield at, name, len(gap)
                at = payload.find(gap, at + len(gap))
