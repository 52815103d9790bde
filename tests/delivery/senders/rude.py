"""A TLS server of HTTP/1.1 that answers as badly as a test wants it to."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from fleet.tls import ensure_certificates


class Rude(NamedTuple):
    """The server: what it does with a POST to /name/... is `answers["name"]`; `requests` are the paths it read."""

    url: str
    ca_file: str
    requests: list[str]
    answers: dict[str, Callable[[BaseHTTPRequestHandler], object]]


@contextmanager
def serve(folder: Path) -> Iterator[Rude]:
    """Run the server until the block ends; certificates go into the folder."""
    files = ensure_certificates(folder)
    requests: list[str] = []
    answers: dict[str, Callable[[BaseHTTPRequestHandler], object]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(self.path)
            answers[self.path.split("/")[1]](self)

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield Rude(f"https://127.0.0.1:{server.server_port}", str(files.ca), requests, answers)
    server.shutdown()
    server.server_close()
    thread.join()


def polite(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer like a server with manners."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        pass  # clients that hang up are the point
