"""The phones: who stands behind a token, for which app and environment, and whether it lives."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Literal

import msgspec

from fleet.tokens import TokenMint

Provider = Literal["fcm", "apns", "webpush", "websocket", "inbox"]
Environment = Literal["production", "sandbox"]
PROVIDERS: tuple[Provider, ...] = ("fcm", "apns", "webpush", "websocket", "inbox")
PUSH_PROVIDERS: tuple[Provider, ...] = ("fcm", "apns", "webpush")
_NAMED: tuple[Provider, ...] = ("websocket", "inbox")
MOST_DEVICES = 4_000_000


class Batch(msgspec.Struct, frozen=True):
    """Devices made together.

    `home` is an FCM project, an APNs topic, the key of the one who may push (empty: anybody may) or the name of a
    device that holds a socket or pulls.
    """

    first: int
    count: int
    provider: Provider
    home: str
    environment: Environment = "production"


class Devices:
    """All devices by number; a batch costs the same for one phone as for a million."""

    def __init__(self, secret: bytes, batches: list[Batch] | None = None) -> None:
        self.secret = secret
        self.mint = TokenMint(secret)
        self.batches: list[Batch] = []
        self._firsts: list[int] = []
        self._named: dict[tuple[str, str], int] = {}
        self._dead_since: dict[int, int] = {}
        self.total = 0
        for batch in batches or []:
            self._append(batch)

    def _append(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._firsts.append(batch.first)
        self.total = batch.first + batch.count
        if batch.provider in _NAMED:
            self._named[batch.provider, batch.home] = batch.first

    def make(
        self, provider: Provider, *, count: int, home: str, environment: Environment = "production"
    ) -> list[str]:
        """Make `count` phones and return their tokens. Raises `ValueError` past MOST_DEVICES."""
        if count < 1 or self.total + count > MOST_DEVICES:
            raise ValueError(f"count: must be from 1 to {MOST_DEVICES - self.total}, got {count}")
        batch = Batch(self.total, count, provider, home, environment)
        self._append(batch)
        make = self._maker(provider)
        return [make(number) for number in range(batch.first, batch.first + count)]

    def _maker(self, provider: Provider) -> Callable[[int], str]:
        makers = {"fcm": self.mint.fcm, "apns": self.mint.apns, "webpush": self.mint.webpush}
        return makers[provider]

    def named(self, provider: Provider, name: str) -> int:
        """Return the number of the device of that name that holds a socket or pulls, made on first sight."""
        number = self._named.get((provider, name))
        if number is None:
            number = self.total
            self._append(Batch(number, 1, provider, name))
        return number

    def batch(self, device: int) -> Batch | None:
        """Return the batch of a device's number, None where there is no such device."""
        if device >= self.total:
            return None
        return self.batches[bisect_right(self._firsts, device) - 1]

    def find(self, token: str) -> int | None:
        """Return the device of an FCM or APNs token, a subscription's endpoint or a socket device's name."""
        number = next((self._named[one, token] for one in _NAMED if (one, token) in self._named), None)
        if number is None:
            number = self.mint.apns_device(token)
        if number is None:
            number = self.mint.fcm_device(token)
        if number is None:
            number = self.mint.webpush_device(token.rpartition("/")[2])
        return number if number is not None and number < self.total else None

    def address(self, device: int) -> str:
        """Return the token of a phone, the last part of a subscription's endpoint or the name of a socket device."""
        batch = self.batch(device)
        if batch is None:
            raise LookupError(f"no device {device}")
        if batch.provider in _NAMED:
            return batch.home
        return self._maker(batch.provider)(device)

    def bury(self, device: int, *, since: int | None = None) -> None:
        """Mark a token dead from `since` (milliseconds since the epoch) or from now on."""
        self._dead_since.setdefault(device, since if since is not None else int(time.time() * 1000))

    def revive_all(self) -> None:
        self._dead_since.clear()

    def dead_since(self, device: int) -> int | None:
        """Return when the token died (milliseconds since the epoch), None while it lives."""
        return self._dead_since.get(device)
