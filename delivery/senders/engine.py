"""The engine under the senders: many requests over few connections of HTTP/2, answers as they come.

One for each thread and pool, made after fork. Its own HTTP/2 (`http2/`) costs a fifth of what libcurl does, which
carries what that cannot: servers that speak only HTTP/1.1, and proxies that are more than a tunnel.
"""

import base64
import functools
import os
import ssl
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import weakref
from collections.abc import Callable, Generator, Iterable
from typing import Any

import certifi

from delivery.senders.curl import Curl
from delivery.senders.http2.connection import Answer, Stream
from delivery.senders.http2.link import ALPN, Proxy, Where
from delivery.senders.http2.origin import Origin
from delivery.senders.loop import thread_loop
from delivery.senders.network import DIRECT, Network

__all__ = ["STREAMS", "Answer", "Engine", "Own", "Request", "engine"]

STREAMS = 900
"""Requests in flight: near the thousand that APNs allows on a connection."""
POOLS = 32
"""The most pools of a thread; the one that was used longest ago is closed for the next."""
STALE_SECONDS = 1.0
"""After so long it is looked for what came meanwhile, such as a goodbye, before anything is sent."""

Own = tuple[tuple[str, str], ...]
Request = tuple[Any, str, list[str], bytes] | tuple[Any, str, list[str], bytes, Own]
"""The caller's key, the URL, the header lines (the same list object again is cheaper), the body to POST, and the names
and values of headers that only this request has."""


class Engine:
    """Sends requests for one thread; use `engine()` to get the thread's own.

    `ca_file` replaces the network's. Names in `bare` are headers that the server shall not keep. `public_only` refuses
    addresses that are not public, for hosts that a stranger has named. `certificate` is shown to the server: PEM, with
    its private key.
    """

    def __init__(
        self,
        *,
        ca_file: str = "",
        network: Network = DIRECT,
        bare: frozenset[bytes] = frozenset(),
        public_only: bool = False,
        certificate: str = "",
    ) -> None:
        self._loop = thread_loop()
        self._ca_file = ca_file or network.ca_file
        self._network = network
        self._timeout = network.request_seconds
        self._bare = bare
        self._public_only = public_only
        self._certificate = certificate
        self._pid = os.getpid()
        self._runs: dict[int, float | None] = {}
        self._origins: dict[str, Origin] = {}
        self._curl: Curl | None = None
        self._base = ""
        self._origin: Origin | None = None

    def run(
        self, requests: Iterable[Request], *, deadline: float | None = None, streams: int = STREAMS
    ) -> Generator[Answer, None, None]:
        """Send the requests, at most `streams` at a time, and yield one answer for each that was taken.

        `requests` is read only as streams get free, so it may end early in view of the answers. At
        `deadline` (`time.monotonic()`) what is under way is given up as unknown and no more is
        taken. Several runs of one engine may be interleaved.
        """
        answers: list[Answer] = []
        waiting = iter(requests)
        more = True
        under_way = 0
        self._wake()
        self._runs[id(answers)] = deadline
        try:
            while more or under_way:
                while more and under_way < streams:
                    request = next(waiting, None)
                    if request is None:
                        more = False
                        break
                    self._start(request, answers)
                    under_way += 1
                if under_way and not answers:
                    self._loop.turn()
                if deadline is not None and time.monotonic() >= deadline:
                    more = False
                    self._drop(answers)
                if answers:
                    under_way -= len(answers)
                    ready = answers.copy()
                    answers.clear()
                    yield from ready
        finally:
            self._drop(answers)
            del self._runs[id(answers)]
            if not self._runs:
                self.prepare(time.monotonic())  # what was given up is told to the provider
                self._loop.parts.pop(self, None)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return any(origin.busy for origin in self._origins.values()) or (
            self._curl is not None and self._curl.busy
        )

    def prepare(self, now: float) -> float:
        """Do what is due and write; return when to be called again (`loop.Part`)."""
        wake = min((end for end in self._runs.values() if end is not None), default=now + self._timeout)
        for origin in self._origins.values():
            wake = min(wake, origin.prepare(now))
        return wake if self._curl is None else min(wake, self._curl.prepare(now))

    def close(self) -> None:
        """Close the connections; what is under way is dropped."""
        self._loop.parts.pop(self, None)
        for origin in self._origins.values():
            origin.close("closed by us")
        if self._curl is not None and self._pid == os.getpid():
            self._curl.close()

    def _wake(self) -> None:
        loop = self._loop
        now = time.monotonic()
        if now - loop.now > STALE_SECONDS:
            loop.turn(wait=0.0)
        loop.now = now
        for origin in self._origins.values():
            origin.wake(now)
        loop.parts[self] = None

    def _start(self, request: Request, answers: list[Answer]) -> None:
        own: Own = ()
        if len(request) == 5:
            key, url, lines, body, own = request
        else:
            key, url, lines, body = request
        at = url.find("/", 8)
        base, path = (url[:at], url[at:]) if at > 0 else (url, "/")
        stream = Stream(key, answers, path, lines, own, body)
        if base != self._base:
            try:
                self._origin = self._origins.get(base) or self._make_origin(base)
                self._base = base
            except (OSError, ValueError) as error:
                stream.end(f"{base} cannot be used: {error}", unknown=False)
                return
        if self._origin is None:
            self._by_curl(base, stream)
        else:
            self._origin.start(stream)

    def _make_origin(self, base: str) -> Origin | None:
        """Return the origin of a URL's scheme, host and port; None where libcurl has to do it."""
        split = urllib.parse.urlsplit(base)
        proxy = "" if not split.hostname else self._proxy_for(split.hostname)
        if split.scheme != "https" or not split.hostname or (proxy and not proxy.startswith("http://")):
            return None
        where = Where(
            split.hostname,
            split.port or 443,
            _context(self._ca_file or certifi.where(), self._certificate),
            _tunnel(proxy) if proxy else None,
            self._public_only,
        )
        origin = self._origins[base] = Origin(
            self._loop,
            where,
            network=self._network,
            bare=self._bare,
            on_http1=lambda stream: self._by_curl(base, stream),
        )
        return origin

    def _by_curl(self, base: str, stream: Stream) -> None:
        if self._curl is None:
            self._curl = Curl(
                self._loop,
                ca_file=self._ca_file,
                network=self._network,
                public_only=self._public_only,
                certificate=self._certificate,
            )
            _all.add(self._curl)
        self._curl.start(stream, base + stream.path)

    def _drop(self, answers: list[Answer]) -> None:
        for origin in self._origins.values():
            origin.drop(answers)
        if self._curl is not None:
            self._curl.drop(answers)

    def _proxy_for(self, host: str) -> str:
        if host in ("127.0.0.1", "localhost", "::1") or _bypasses_proxy(host):
            return ""
        from_environment = urllib.request.getproxies_environment()
        return self._network.proxy or from_environment.get("https") or from_environment.get("all") or ""


def _tunnel(url: str) -> Proxy:
    split = urllib.parse.urlsplit(url)
    authorization = ""
    if split.username:
        name = urllib.parse.unquote(split.username)
        word = urllib.parse.unquote(split.password or "")
        authorization = "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode()
    return Proxy(split.hostname or "", split.port or 3128, authorization)


def _context(ca_file: str, certificate: str) -> ssl.SSLContext:
    return _context_of(ca_file, os.stat(ca_file).st_mtime_ns, certificate)


@functools.lru_cache(maxsize=16)
def _context_of(ca_file: str, _changed: int, certificate: str) -> ssl.SSLContext:
    """Return the TLS settings for a file of authorities: reading the public ones takes 20 ms."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(ALPN)
    if certificate:
        # Python reads them from a file alone: one that nobody else may read, and that is gone at once.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(certificate)
            file.flush()
            context.load_cert_chain(file.name)
    return context


# typeshed does not know it.
_bypasses_proxy: Callable[[str], bool] = getattr(urllib.request, "proxy_bypass_environment")  # noqa: B009
_threads = threading.local()
_all: weakref.WeakSet[Curl] = weakref.WeakSet()
_inherited: list[Curl] = []


class _Pools:
    """A thread's engines in this process; they close their connections when the thread ends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.by_name: dict[Any, Engine] = {}

    def __del__(self) -> None:
        for each in self.by_name.values():
            each.close()


def engine(pool: str, *, ca_file: str = "", **options: Any) -> Engine:
    """Return the calling thread's engine for a pool, made when it is first asked for with the options of `Engine`.

    What must not share a connection gets a pool of its own, as each APNs key.
    """
    own: _Pools | None = getattr(_threads, "pools", None)
    if own is None or own.pid != os.getpid():
        own = _threads.pools = _Pools()
    pools = own.by_name
    name = (pool, ca_file, *sorted(options.items()))
    found = pools.pop(name, None)
    if found is None:
        if len(pools) >= POOLS:
            oldest = pools.pop(next(iter(pools)))
            if not oldest.busy:
                oldest.close()
        found = Engine(ca_file=ca_file, **options)
    pools[name] = found
    return found


# Freeing libcurl's handles in a child would send goodbyes over the sockets it shares with its parent; so all are
# held while forking, and the child holds them for ever. Our own connections are only closed, which says nothing.
os.register_at_fork(before=lambda: _inherited.extend(_all), after_in_parent=_inherited.clear)
