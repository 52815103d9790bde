"""The multiplexed HTTP/2 engine under the senders: many requests over few connections, answers as they come.

One `pycurl.CurlMulti` each for every thread and pool, made after fork: libcurl's handles are never shared by
threads, and a child must not touch its parent's connections.
"""

import os
import select
import threading
import time
import weakref
from collections.abc import Generator, Iterable
from typing import Any

import certifi
import msgspec
import pycurl

STREAMS = 500
"""Requests in flight; the most streams on a connection."""
CONNECTIONS = 8
"""The most connections of a pool to a host, for servers that allow fewer streams than we have requests."""
REQUEST_SECONDS = 10.0
CONNECT_SECONDS = 5.0
IDLE_SECONDS = 300
BODY_BYTES = 64 * 1024
POOLS = 32
"""The most pools of a thread; the one that was used longest ago is closed for the next."""

Request = tuple[Any, str, list[str], bytes]
"""The caller's key, the URL, the header lines (the same list object again is cheaper) and the body to POST."""

_NEVER_SENT = frozenset(
    {
        pycurl.E_UNSUPPORTED_PROTOCOL,
        pycurl.E_URL_MALFORMAT,
        pycurl.E_COULDNT_RESOLVE_PROXY,
        pycurl.E_COULDNT_RESOLVE_HOST,
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
    }
)


_NO_PINS: list[str] = []


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What became of a request.

    Answered: `error` is empty. Refused: `error` says why, and the request never left, so another try
    is no repeat. Unknown: `unknown` is true too, the request may have arrived. `retry_after` is in
    seconds, 0 for none.
    """

    key: Any
    status: int = 0
    body: bytes = b""
    retry_after: int = 0
    error: str = ""
    unknown: bool = False


class Engine:
    """Sends requests over HTTP/2 for one thread; use `engine()` to get the thread's own."""

    def __init__(self, *, ca_file: str = "", timeout: float = REQUEST_SECONDS) -> None:
        self._ca_file = ca_file or certifi.where()
        self._timeout = timeout
        self.pins = _NO_PINS
        """What names resolve to instead of asking for them (`CURLOPT_RESOLVE`); a new list replaces it."""
        self._free: list[Any] = []
        self._live: set[Any] = set()
        self._alarm: float | None = None
        self._poll = select.poll()
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, CONNECTIONS)
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, STREAMS)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_alarm)

    def run(
        self, requests: Iterable[Request], *, deadline: float | None = None, streams: int = STREAMS
    ) -> Generator[Answer, None, None]:
        """Send the requests, at most `streams` at a time, and yield one answer for each that was taken.

        `requests` is read only as streams get free, so it may end early in view of the answers. At
        `deadline` (`time.monotonic()`) what is under way is given up as unknown and no more is
        taken. Several runs of one engine may be interleaved.
        """
        sink: list[Answer] = []
        waiting = iter(requests)
        more = True
        under_way = 0
        try:
            while more or under_way:
                while more and under_way < streams:
                    request = next(waiting, None)
                    if request is None:
                        more = False
                        break
                    self._start(request, sink)
                    under_way += 1
                if not under_way:
                    break
                if not sink:  # another run's turn may have brought answers of this one
                    self._turn(deadline)
                if sink:
                    under_way -= len(sink)
                    answers = sink.copy()
                    sink.clear()
                    yield from answers
                if deadline is not None and time.monotonic() >= deadline:
                    more = False
                    yield from self._give_up(sink)
                    break
        finally:
            self._give_up(sink)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._live)

    def close(self) -> None:
        """Close the connections; what is under way is dropped."""
        for handle in self._live:
            self._multi.remove_handle(handle)
            handle.close()
        self._live.clear()
        self._free.clear()
        self._multi.close()

    def _start(self, request: Request, sink: list[Answer]) -> None:
        key, url, headers, body = request
        handle = self._free.pop() if self._free else self._handle()
        if handle.url is not url:
            handle.setopt(pycurl.URL, url)
            handle.url = url
        if handle.headers is not headers:
            handle.setopt(pycurl.HTTPHEADER, headers)
            handle.headers = headers
        if handle.pins is not self.pins:
            handle.setopt(pycurl.RESOLVE, self.pins)
            handle.pins = self.pins
        handle.setopt(pycurl.POSTFIELDS, body)
        handle.key = key
        handle.sink = sink
        self._multi.add_handle(handle)
        self._live.add(handle)

    def _handle(self) -> Any:
        handle = pycurl.Curl()
        # Falls back to HTTP/1.1 where the server offers nothing better; PIPEWAIT waits for a
        # connection that is being made instead of opening one for each request.
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        handle.setopt(pycurl.PIPEWAIT, 1)
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.NOSIGNAL, 1)  # threads: no SIGALRM for name lookups
        handle.setopt(pycurl.CAINFO, self._ca_file)
        handle.setopt(pycurl.TIMEOUT_MS, int(self._timeout * 1000))
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(CONNECT_SECONDS * 1000))
        handle.setopt(pycurl.MAXAGE_CONN, IDLE_SECONDS)
        handle.setopt(pycurl.TCP_KEEPALIVE, 1)
        handle.setopt(pycurl.MAXFILESIZE, BODY_BYTES)  # holds while the body comes, too
        handle.setopt(pycurl.NOPROXY, _direct_hosts())
        handle.received = []
        handle.setopt(pycurl.WRITEFUNCTION, handle.received.append)
        handle.url = handle.headers = None
        handle.pins = _NO_PINS
        return handle

    def _watch(self, event: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if event == pycurl.POLL_REMOVE:
            self._poll.unregister(descriptor)
            return
        mask = select.POLLIN if event & pycurl.POLL_IN else 0
        if event & pycurl.POLL_OUT:
            mask |= select.POLLOUT
        self._poll.register(descriptor, mask)

    def _set_alarm(self, milliseconds: int) -> None:
        self._alarm = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _turn(self, deadline: float | None) -> None:
        """Wait for what comes next, at most a second, and let libcurl work on it."""
        multi = self._multi
        wait = 1.0
        now = time.monotonic()
        if self._alarm is not None:
            if self._alarm <= now:
                self._alarm = None
                multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
                wait = 0.0
            else:
                wait = min(wait, self._alarm - now)
        if deadline is not None:
            wait = max(0.0, min(wait, deadline - now))
        for descriptor, event in self._poll.poll(wait * 1000):
            mask = pycurl.CSELECT_IN if event & select.POLLIN else 0
            if event & select.POLLOUT:
                mask |= pycurl.CSELECT_OUT
            if event & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                mask |= pycurl.CSELECT_ERR
            multi.socket_action(descriptor, mask)
        self._reap()

    def _reap(self) -> None:
        """Take the finished transfers and put their answers into the sinks of their runs."""
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read(STREAMS)
            for handle in good:
                self._release(handle)
                status = handle.getinfo(pycurl.RESPONSE_CODE)
                received = handle.received
                body = received[0] if len(received) == 1 else b"".join(received)
                received.clear()
                wait = handle.getinfo(pycurl.RETRY_AFTER) if status >= 429 else 0
                handle.sink.append(Answer(handle.key, status, body, wait))
                self._free.append(handle)
            for handle, code, message in bad:
                self._release(handle)
                sent = code not in _NEVER_SENT and handle.getinfo(pycurl.REQUEST_SIZE) > 0
                handle.sink.append(Answer(handle.key, error=f"{message} (curl {code})", unknown=sent))
                handle.close()

    def _release(self, handle: Any) -> None:
        self._multi.remove_handle(handle)
        self._live.discard(handle)

    def _give_up(self, sink: list[Answer]) -> list[Answer]:
        """Drop what one run has under way."""
        given_up = list(sink)
        sink.clear()
        for handle in [handle for handle in self._live if handle.sink is sink]:
            self._release(handle)
            sent = handle.getinfo(pycurl.REQUEST_SIZE) > 0
            given_up.append(Answer(handle.key, error="given up at the deadline", unknown=sent))
            handle.close()
        return given_up


def _direct_hosts() -> str:
    """Return the hosts that no proxy of the environment stands before: its own list and this machine."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return ",".join(filter(None, [listed, "127.0.0.1", "localhost", "::1"]))


_own = threading.local()
_all: weakref.WeakSet[Engine] = weakref.WeakSet()
_inherited: list[Engine] = []


def engine(pool: str, *, ca_file: str = "") -> Engine:
    """Return the calling thread's engine for a pool, made when it is first asked for.

    What must not share a connection gets a pool of its own, as each APNs key.
    """
    pid = os.getpid()
    if getattr(_own, "pid", None) != pid:
        _own.pid, _own.pools = pid, {}
    pools: dict[tuple[str, str], Engine] = _own.pools
    found = pools.pop((pool, ca_file), None)
    if found is None:
        if len(pools) >= POOLS:
            oldest = pools.pop(next(iter(pools)))
            if not oldest.busy:
                oldest.close()
        found = Engine(ca_file=ca_file)
        _all.add(found)
    pools[(pool, ca_file)] = found
    return found


# Freeing an inherited engine in the child would send TLS and HTTP/2 goodbyes over the sockets it shares
# with its parent; so all are held while forking, and the child holds them for ever.
os.register_at_fork(before=lambda: _inherited.extend(_all), after_in_parent=_inherited.clear)
