"""A TLS connection that never blocks: name, address, proxy, handshake, then bytes both ways."""

import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple

from delivery.senders.loop import READ, WRITE, Addresses, Loop

READ_BYTES = 256 * 1024
ALPN = ["h2", "http/1.1"]
PROXY_ANSWER_BYTES = 8 * 1024
NOT_PUBLIC = "the name has no public address"
"""The end of a connection to a stranger's host (`Where.public_only`)."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Proxy(NamedTuple):
    """An HTTP proxy that opens tunnels (CONNECT); `authorization` is a header's value, or empty."""

    host: str
    port: int
    authorization: str = ""


class Where(NamedTuple):
    """What to connect to, and how. `public_only`: the name is a stranger's word, only public addresses are used."""

    host: str
    port: int
    context: ssl.SSLContext
    proxy: Proxy | None = None
    public_only: bool = False


class Link:
    """One connection: `on_open(protocol)` comes once, then `on_data(bytes)`; `on_end(why)` once and last."""

    def __init__(
        self,
        loop: Loop,
        where: Where,
        *,
        on_open: Callable[[str], None],
        on_data: Callable[[bytes], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._where = where
        self._on_open, self._on_data, self._on_end = on_open, on_data, on_end
        self._socket: socket.socket | None = None
        self._addresses: Addresses = []
        self._target = f"{where.host}:{where.port}"
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = where.context.wrap_bio(self._incoming, self._outgoing, server_hostname=where.host)
        self._read: Callable[[bytes], None] = self._shake_hands
        self._tunnel_answer = b""
        self._unsent = b""
        self._watched = 0
        self._ended = False
        self._troubles: list[str] = []

    @property
    def blocked(self) -> bool:
        """Whether the socket takes no more for now."""
        return bool(self._unsent)

    def start(self) -> None:
        """Begin to connect; `on_end` may come at once."""
        where = self._where
        if where.proxy is None or where.public_only:
            self._loop.resolve(where.host, where.port, self._host_found)
        else:
            self._loop.resolve(where.proxy.host, where.proxy.port, self._found)

    def give_up_address(self) -> None:
        """Try the next address: this one takes too long."""
        if self._socket is not None and not self._ended and self._read == self._shake_hands:
            self._next_address("no answer")

    def write(self, data: bytes) -> None:
        """Send bytes; what the socket does not take is kept and sent as soon as it does."""
        if not self._ended:
            self._tls.write(data)
            self._flush()

    def end(self, why: str) -> None:
        """Close the connection."""
        if self._ended:
            return
        self._ended = True
        self._drop_socket()
        self._on_end(why)

    def _host_found(self, found: Addresses | OSError) -> None:
        if self._ended:
            return
        if not isinstance(found, OSError) and self._where.public_only:
            found = [(family, address) for family, address in found if is_public(address[0])]
            if not found:
                self.end(NOT_PUBLIC)
                return
        proxy = self._where.proxy
        if proxy is None or isinstance(found, OSError):
            self._found(found)
            return
        host, port = found[0][1][:2]
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._loop.resolve(proxy.host, proxy.port, self._found)

    def _found(self, found: Addresses | OSError) -> None:
        if self._ended:
            return
        if isinstance(found, OSError):
            self.end(f"the name cannot be looked up: {found.strerror or found}")
            return
        self._addresses = found
        self._next_address("")

    def _next_address(self, trouble: str) -> None:
        if trouble:
            self._troubles.append(trouble)
        self._drop_socket()
        if not self._addresses:
            self.end(f"no connection: {', '.join(dict.fromkeys(self._troubles))}")
            return
        family, address = self._addresses.pop(0)
        try:
            made = self._socket = socket.socket(family, socket.SOCK_STREAM)
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made.connect(address)
        except BlockingIOError:
            pass
        except OSError as error:
            self._next_address(error.strerror or str(error))
            return
        self._watched = WRITE
        self._loop.watch(made.fileno(), WRITE, self._connected)

    def _connected(self, _event: int) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._next_address(os.strerror(error))
            return
        self._watched = READ
        self._loop.watch(self._socket.fileno(), READ, self._ready)
        if self._where.proxy is None:
            self._shake_hands(b"")
            return
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}"]
        if self._where.proxy.authorization:
            lines.append(f"Proxy-Authorization: {self._where.proxy.authorization}")
        self._read = self._open_tunnel
        self._unsent = "\r\n".join([*lines, "", ""]).encode()
        self._flush()

    def _ready(self, event: int) -> None:
        if event & WRITE:
            self._flush()
        if self._ended or not event & ~WRITE:
            return
        assert self._socket is not None
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(f"the connection broke: {error.strerror or error}")
            return
        if data:
            self._read(data)
        else:
            self.end("the connection was closed")

    def _open_tunnel(self, data: bytes) -> None:
        self._tunnel_answer += data
        head, end, rest = self._tunnel_answer.partition(b"\r\n\r\n")
        if not end:
            if len(self._tunnel_answer) > PROXY_ANSWER_BYTES:
                self.end("the proxy does not answer as a proxy does")
            return
        status = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(status) < 2 or not status[1].startswith(b"2"):
            self.end(f"the proxy refuses: {b' '.join(status[1:]).decode('latin-1')[:100]}")
            return
        self._read = self._shake_hands
        self._shake_hands(rest)

    def _shake_hands(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLCertVerificationError as error:
            self.end(f"the certificate is not trusted: {error.verify_message}")
            return
        except (ssl.SSLError, OSError) as error:
            self.end(f"no TLS: {error}")
            return
        self._read = self._take
        self._flush()
        if not self._ended:
            self._on_open(self._tls.selected_alpn_protocol() or "")
        if not self._ended and self._incoming.pending:
            self._take(b"")

    def _take(self, data: bytes) -> None:
        self._incoming.write(data)
        chunks = []
        why = ""
        read = self._tls.read
        try:
            while chunk := read(READ_BYTES):
                chunks.append(chunk)
            why = "the connection was closed"
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, OSError) as error:
            why = f"the connection broke: {error}"
        if self._outgoing.pending:
            self._flush()
        if chunks:
            self._on_data(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if why:
            self.end(why)

    def _flush(self) -> None:
        if self._ended or self._socket is None:
            return
        try:
            while unsent := self._unsent or self._outgoing.read():
                self._unsent = unsent[self._socket.send(unsent) :]
        except BlockingIOError:
            self._unsent = unsent
            mask = READ | WRITE
        except OSError as error:
            self._read_last(f"the connection broke: {error.strerror or error}")
            return
        else:
            mask = READ
        if mask != self._watched:
            self._watched = mask
            self._loop.watch(self._socket.fileno(), mask, self._ready)

    def _read_last(self, why: str) -> None:
        """End the connection, but read first what had come before it broke: answers, and a reason."""
        try:
            while not self._ended and self._socket is not None and (data := self._socket.recv(READ_BYTES)):
                self._read(data)
        except OSError:
            pass
        self.end(why)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet; one that wraps another is what it wraps."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast
