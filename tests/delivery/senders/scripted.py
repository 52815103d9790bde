"""A TLS server of HTTP/2 that does, frame by frame, what a test's script says."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import hpack

from delivery.senders.http2 import frames
from fleet.tls import ensure_certificates

PATIENCE = 20.0


class Asked(NamedTuple):
    """A whole request."""

    stream: int
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, tls: ssl.SSLSocket, number: int) -> None:
        self._tls = tls
        self.number = number
        """How many connections there were before."""
        self.asked: list[Asked] = []
        self.kinds: list[int] = []
        """The kinds of all frames that came."""
        self.answers_pings = True
        self.owed: list[Asked] = []
        """What is answered when a ping comes."""
        self.sips = 0
        """So many bytes more are taken of a body that is not whole, each time that some of it came."""
        self.settings: dict[int, int] = {}
        self._decoder = hpack.Decoder()
        self._encoder = hpack.Encoder()
        self._encoder.header_table_size = 0
        self._half: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytes] = {}

    def greet(self, **settings: int) -> None:
        """Read the client's preface and tell our settings."""
        assert self._exactly(len(frames.PREFACE)) == frames.PREFACE
        self.write(frames.settings(**settings))

    def requests(self) -> Iterator[Asked]:
        """Yield requests as they come, until the client goes."""
        while True:
            try:
                head = self._exactly(frames.HEAD_BYTES)
            except (OSError, EOFError):
                return
            high, low, kind, flags, stream = frames.read_head(head)
            payload = self._exactly(high << 8 | low)
            self.kinds.append(kind)
            if kind == frames.SETTINGS and not flags & frames.ACK:
                self.settings |= dict(frames.read_settings(payload))
                self.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
            elif kind == frames.PING and not flags & frames.ACK and self.answers_pings:
                self.write(frames.frame(frames.PING, frames.ACK, 0, payload))
                while self.owed:
                    self.answer(self.owed.pop())
            elif kind == frames.HEADERS:
                self._half[stream] = dict(self._decoder.decode(payload))
                self._bodies[stream] = b""
            elif kind == frames.DATA:
                self._bodies[stream] += payload
            if self.sips and kind in (frames.HEADERS, frames.DATA) and not flags & frames.END_STREAM:
                self.open_window(stream, self.sips)
            if kind in (frames.HEADERS, frames.DATA) and flags & frames.END_STREAM:
                asked = Asked(stream, self._half.pop(stream), self._bodies.pop(stream))
                self.asked.append(asked)
                yield asked

    def answer(self, asked: Asked, status: int = 200, body: bytes = b"") -> None:
        """Answer a request."""
        block = self._encoder.encode([(":status", str(status)), ("apns-id", "x")])
        end = frames.END_HEADERS | (0 if body else frames.END_STREAM)
        written = frames.frame(frames.HEADERS, end, asked.stream, block)
        if body:
            written += frames.frame(frames.DATA, frames.END_STREAM, asked.stream, body)
        self.write(written)

    def refuse(self, asked: Asked, code: int = frames.REFUSED_STREAM) -> None:
        """Reset a request."""
        self.write(frames.frame(frames.RST_STREAM, 0, asked.stream, struct.pack(">I", code)))

    def say_goodbye(self, last: int, code: int = 0) -> None:
        """Take no more after a stream."""
        self.write(frames.frame(frames.GOAWAY, 0, 0, struct.pack(">II", last, code)))

    def open_window(self, stream: int, count: int) -> None:
        """Take more of the bodies."""
        self.write(frames.frame(frames.WINDOW_UPDATE, 0, stream, struct.pack(">I", count)))

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._tls.sendall(data)

    def hang_up(self) -> None:
        """Close the connection without a word."""
        with contextlib.suppress(OSError):
            self._tls.shutdown(socket.SHUT_RDWR)
        self._tls.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._tls.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


Script = Callable[[Peer], None]


class Scripted:
    """The server: each connection is given to `script` in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        files = ensure_certificates(folder)
        self.ca_file = str(files.ca)
        self.peers: list[Peer] = []
        self.script: Script = answer_all
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        self._context.set_alpn_protocols(["h2"])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def reset(self, script: Script) -> None:
        """Forget what was, and do as the script says from now on."""
        self.peers.clear()
        self.script = script

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with (
            contextlib.suppress(OSError, EOFError),
            self._context.wrap_socket(plain, server_side=True) as tls,
        ):
            peer = Peer(tls, len(self.peers))
            self.peers.append(peer)
            self.script(peer)
        plain.close()


def answer_all(peer: Peer) -> None:
    """Answer every request with 200 and its own body."""
    peer.greet(max_concurrent_streams=1000)
    for asked in peer.requests():
        peer.answer(asked, body=asked.body)
