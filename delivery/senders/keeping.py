"""Keeps what is made of a credential, because keys are slow to read, until the credential changes."""

import hashlib
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from delivery.senders.contract import Credential

T = TypeVar("T")
MOST = 256
_encode = msgspec.json.Encoder(order="deterministic").encode


def digest(credential: Credential) -> str:
    """Return what tells a credential's contents from another's and gives no secret away."""
    return hashlib.sha256(_encode(credential)).hexdigest()[:32]


class Kept(Generic[T]):
    """What `make` made of each credential; the oldest is forgotten when there are too many."""

    def __init__(self, make: Callable[[Credential], T]) -> None:
        self._make = make
        self._kept: dict[str, T] = {}

    def of(self, credential: Credential) -> T:
        """Return what was made of the credential; raises what `make` raises."""
        key = digest(credential)
        found = self._kept.get(key)
        if found is None:
            found = self._make(credential)
            while len(self._kept) >= MOST:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[key] = found
        return found
