"""Provider tokens, made once and used by every process: the stores behind `TokenStore` and a process's own copy."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import cast

import msgspec
import redis

from delivery.senders.contract import TokenStore

log = logging.getLogger(__name__)

Clock = Callable[[], float]
Mint = Callable[[], tuple[str, float]]
"""Makes a token; returns it and the instant (epoch seconds) from which another is to be made."""


class MemoryTokenStore:
    """Keeps tokens in this process, for tests and tools."""

    def __init__(self, *, now: Clock = time.time) -> None:
        self._now = now
        self._kept: dict[str, tuple[str, float]] = {}

    def get(self, key: str) -> tuple[str, float] | None:
        """Return the live token and its end, or None."""
        kept = self._kept.get(key)
        return kept if kept is not None and kept[1] > self._now() else None

    def put(self, key: str, token: str, expires_at: float) -> tuple[str, float]:
        """Keep a token unless a live one is there already; return the one that stands."""
        standing = self.get(key)
        if standing is None:
            standing = self._kept[key] = (token, expires_at)
        return standing

    def drop(self, key: str, token: str) -> None:
        """Forget the token, unless another stands in its place by now."""
        if self._kept.get(key, ("", 0.0))[0] == token:
            del self._kept[key]


_DROP = """
local kept = redis.call('GET', KEYS[1])
if kept and cmsgpack.unpack(kept)[1] == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisTokenStore:
    """Keeps tokens in Redis; without Redis every process makes its own."""

    def __init__(self, client: redis.Redis, *, prefix: str = "nh:token:") -> None:
        self._client = client
        self._prefix = prefix
        self._drop = client.register_script(_DROP)

    def get(self, key: str) -> tuple[str, float] | None:
        """Return the live token and its end, or None."""
        try:
            kept = cast("bytes | None", self._client.get(self._prefix + key))
            return _kept.decode(kept) if kept else None
        except (redis.RedisError, msgspec.DecodeError) as error:
            log.warning("the shared provider token cannot be read: %s", error)
            return None

    def put(self, key: str, token: str, expires_at: float) -> tuple[str, float]:
        """Keep a token unless a live one is there already; return the one that stands."""
        life = int((expires_at - time.time()) * 1000)
        if life <= 0:
            return token, expires_at
        try:
            body = msgspec.msgpack.encode((token, expires_at))
            if not self._client.set(self._prefix + key, body, nx=True, px=life):
                return self.get(key) or (token, expires_at)
        except redis.RedisError as error:
            log.warning("a provider token cannot be shared: %s", error)
        return token, expires_at

    def drop(self, key: str, token: str) -> None:
        """Forget the token, unless another stands in its place by now."""
        try:
            self._drop(keys=[self._prefix + key], args=[token])
        except redis.RedisError as error:
            log.warning("a refused provider token cannot be withdrawn: %s", error)


_kept = msgspec.msgpack.Decoder(tuple[str, float])


class SharedTokens:
    """This process's copy of the shared tokens: one thread at a time makes or renews a token."""

    def __init__(self, store: TokenStore, *, now: Clock = time.time) -> None:
        self._store = store
        self._now = now
        self._held: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def current(self, key: str, mint: Mint) -> str:
        """Return the token of a key, made by `mint` when nobody has a live one; raises what `mint` raises."""
        held = self._held.get(key)
        if held is not None and held[1] > self._now():
            return held[0]
        with self._locks[key]:
            return self._current(key, mint)

    def renewed(self, key: str, mint: Mint, *, refused: str) -> str:
        """Return another token than the refused one: whoever came first has made it, else `mint` does."""
        with self._locks[key]:
            held = self._held.get(key)
            if held is not None and held[0] == refused:
                del self._held[key]
            self._store.drop(key, refused)
            return self._current(key, mint)

    def _current(self, key: str, mint: Mint) -> str:
        held = self._held.get(key)
        if held is None or held[1] <= self._now():
            held = self._store.get(key) or self._store.put(key, *mint())
            self._held[key] = held
        return held[0]
