"""An HTTP proxy that only opens tunnels (CONNECT), with a password, to whatever name, on this machine."""

import base64
import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

NAME, WORD = "hub", "pass:word"
AUTHORIZATION = "Basic " + base64.b64encode(f"{NAME}:{WORD}".encode()).decode()


class Tunnels(NamedTuple):
    """The proxy: `port`, and `asked`, the targets that it was asked for."""

    port: int
    asked: list[str]
    refused: list[str]

    @property
    def url(self) -> str:
        return f"http://{NAME}:pass%3Aword@127.0.0.1:{self.port}"


@contextmanager
def serve() -> Iterator[Tunnels]:
    """Run the proxy until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    proxy = Tunnels(listening.getsockname()[1], [], [])
    ends: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            ends.append(client)
            threading.Thread(target=_serve, args=(client, proxy, ends), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        for end in [listening, *ends]:
            end.close()
        thread.join(10)


def _serve(client: socket.socket, proxy: Tunnels, ends: list[socket.socket]) -> None:
    with contextlib.suppress(OSError, ValueError):
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += client.recv(4096)
        lines = asked.decode().split("\r\n")
        target = lines[0].split()[1]
        if f"Proxy-Authorization: {AUTHORIZATION}" not in lines:
            proxy.refused.append(target)
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        proxy.asked.append(target)
        server = socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])))
        ends.append(server)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        _pass_on(client, server)


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    other = {client: server, server: client}
    with selectors.DefaultSelector() as ready:
        for end in other:
            ready.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                end = key.fileobj
                assert isinstance(end, socket.socket)
                data = end.recv(65_536)
                if not data:
                    client.close()
                    server.close()
                    return
                other[end].sendall(data)
