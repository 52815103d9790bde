"""libcurl under the engine, for what our own HTTP/2 does not do: servers of HTTP/1.1, proxies that are no tunnels."""

import os
import socket
import time
from typing import Any

import certifi
import pycurl

from delivery.senders.http2.connection import BODY_BYTES, Answer, Stream
from delivery.senders.http2.link import is_public
from delivery.senders.loop import BROKEN, READ, WRITE, Loop
from delivery.senders.network import DIRECT, Network

CONNECTIONS = 8
CONNECT_SECONDS = 5.0
IDLE_SECONDS = 300
_BATCH = 500

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


class Curl:
    """Sends requests by libcurl for one thread."""

    def __init__(
        self,
        loop: Loop,
        *,
        ca_file: str,
        network: Network = DIRECT,
        public_only: bool = False,
        certificate: str = "",
    ) -> None:
        self._loop = loop
        self._ca_file = ca_file or certifi.where()
        self._network = network
        self._timeout = network.request_seconds
        self._public_only = public_only
        self._certificate = certificate
        self._free: list[Any] = []
        self._live: set[Any] = set()
        self._alarm: float | None = None
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, CONNECTIONS)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_alarm)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._live)

    def start(self, stream: Stream, url: str) -> None:
        """Send a request."""
        lines = [*stream.lines, *(f"{name}: {value}" for name, value in stream.own)]
        if any(mark in line for line in lines for mark in "\r\n\0"):
            stream.end("a header with a line break", unknown=False)
            return
        handle = self._free.pop() if self._free else self._handle()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.HTTPHEADER, lines)
        handle.setopt(pycurl.POSTFIELDS, stream.body)
        handle.stream = stream
        self._multi.add_handle(handle)
        self._live.add(handle)

    def prepare(self, now: float) -> float:
        """Let libcurl do what is due; return when to call again."""
        if self._alarm is not None and self._alarm <= now:
            self._alarm = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._reap()
            return now
        return now + self._timeout if self._alarm is None else self._alarm

    def drop(self, answers: object) -> None:
        """Give up all requests whose answers go there."""
        for handle in [handle for handle in self._live if handle.stream.answers is answers]:
            self._release(handle)
            sent = handle.getinfo(pycurl.REQUEST_SIZE) > 0
            handle.stream.end("given up at the deadline", unknown=sent)
            handle.close()

    def close(self) -> None:
        """Close the connections; what is under way is dropped."""
        for handle in self._live:
            self._multi.remove_handle(handle)
            handle.close()
        self._live.clear()
        self._free.clear()
        self._multi.close()

    def _handle(self) -> Any:
        handle = pycurl.Curl()
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
        handle.setopt(pycurl.MAXLIFETIME_CONN, int(self._network.connection_seconds))
        handle.setopt(pycurl.TCP_KEEPIDLE, max(1, int(self._network.ping_seconds)))
        if self._network.proxy:
            handle.setopt(pycurl.PROXY, self._network.proxy)
        if self._certificate:
            handle.setopt(pycurl.SSLCERT_BLOB, self._certificate)
            handle.setopt(pycurl.SSLKEY_BLOB, self._certificate)
        if self._public_only:
            handle.setopt(pycurl.OPENSOCKETFUNCTION, _open_public)
        handle.received = []
        handle.setopt(pycurl.WRITEFUNCTION, handle.received.append)
        return handle

    def _watch(self, event: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if event == pycurl.POLL_REMOVE:
            self._loop.forget(descriptor)
            return
        mask = READ if event & pycurl.POLL_IN else 0
        if event & pycurl.POLL_OUT:
            mask |= WRITE
        self._loop.watch(descriptor, mask, lambda ready: self._act(descriptor, ready))

    def _act(self, descriptor: int, ready: int) -> None:
        mask = pycurl.CSELECT_IN if ready & READ else 0
        if ready & WRITE:
            mask |= pycurl.CSELECT_OUT
        if ready & BROKEN:
            mask |= pycurl.CSELECT_ERR
        self._multi.socket_action(descriptor, mask)
        self._reap()

    def _set_alarm(self, milliseconds: int) -> None:
        self._alarm = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _reap(self) -> None:
        """Answer the finished."""
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read(_BATCH)
            for handle in good:
                self._release(handle)
                status = handle.getinfo(pycurl.RESPONSE_CODE)
                body = b"".join(handle.received)
                handle.received.clear()
                wait = handle.getinfo(pycurl.RETRY_AFTER) if status >= 429 else 0
                handle.stream.answers.append(Answer(handle.stream.key, status, body, wait))
                self._free.append(handle)
            for handle, code, message in bad:
                self._release(handle)
                sent = code not in _NEVER_SENT and handle.getinfo(pycurl.REQUEST_SIZE) > 0
                handle.stream.end(f"{message} (curl {code})", unknown=sent)
                handle.close()

    def _release(self, handle: Any) -> None:
        self._multi.remove_handle(handle)
        self._live.discard(handle)


def _open_public(_purpose: int, address: Any) -> Any:
    """Return a socket for an address that is public."""
    family, kind, protocol, where = address
    return socket.socket(family, kind, protocol) if is_public(where[0]) else pycurl.SOCKET_BAD


def _direct_hosts() -> str:
    """Return the hosts that no proxy stands before: the environment's own list and this machine."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return ",".join(filter(None, [listed, "127.0.0.1", "localhost", "::1"]))
