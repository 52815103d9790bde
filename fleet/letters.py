"""The last messages word for word: what a sender's author looks at when counts are not enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

KEPT = 2_000


class Letter(NamedTuple):
    """One accepted message: `asked` holds what its headers asked for, `content` the payload as the device reads it."""

    provider: str
    device: int
    asked: Mapping[str, Any]
    content: bytes


class Letters:
    """The last KEPT messages of all providers; older ones are dropped, so that memory stays bounded."""

    def __init__(self) -> None:
        # Bare tuples, because one is made for every message and nearly none is looked at.
        self._letters: deque[tuple[str, int, Mapping[str, Any], bytes]] = deque(maxlen=KEPT)

    def put(self, provider: str, device: int, asked: Mapping[str, Any], content: bytes) -> None:
        """Keep one message, and drop the oldest where there are too many."""
        self._letters.append((provider, device, asked, content))

    def of(self, device: int | None) -> list[Letter]:
        """Return what is still kept of a device's messages (None: of all), oldest first."""
        return [Letter(*letter) for letter in self._letters if device is None or letter[1] == device]

    def forget(self) -> None:
        self._letters.clear()
