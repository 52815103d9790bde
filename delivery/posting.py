"""One POST to an address that somebody wrote: only to public addresses, the very ones that were looked up.

The name is looked up once and the connection pinned to what was found (CURLOPT_RESOLVE), so that a name which leads
elsewhere a moment later leads nowhere. Redirects are answers like any other; proxies of the environment are not used.
"""

import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import pycurl
from django.utils.translation import gettext as _

from delivery import remarks
from delivery.senders.http2.link import is_public
from devices.push_subscriptions import is_private

URL_LIMIT = 500
SECONDS, CONNECT_SECONDS = 10, 5
ANSWER_BYTES = 64 * 1024


class PostError(Exception):
    """It was not taken; a sentence says why. `final`: trying again would not help."""

    def __init__(self, sentence: str, *, final: bool = False) -> None:
        super().__init__(sentence)
        self.final = final


def check(url: str, *, private: Iterable[str] = ()) -> tuple[str, int]:
    """Return the host and port of an address that may be posted to; raises `PostError` for any other.

    `private` are hosts that need neither HTTPS nor a public address.
    """
    if len(url) > URL_LIMIT or not url.isascii() or any(character.isspace() for character in url):
        raise PostError(
            _(remarks.LONG_ADDRESS) % {"most": URL_LIMIT},
            final=True,
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise PostError(_(remarks.NO_ADDRESS), final=True) from None
    own = bool(host) and is_private(host, private)
    if parts.scheme != "https" and not (own and parts.scheme == "http"):
        raise PostError(_(remarks.NOT_HTTPS), final=True)
    if not host or parts.username is not None or "\\" in url or parts.fragment:
        raise PostError(_(remarks.NO_HOST), final=True)
    return host, port or (443 if parts.scheme == "https" else 80)


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: Iterable[str] = ()) -> None:
    """Post a body; raises `PostError` unless the answer is a 2xx."""
    allowed = list(private)
    host, port = check(url, private=allowed)
    addresses = _addresses(host, port, own=is_private(host, allowed))
    received = 0

    def take(data: bytes) -> int:
        nonlocal received
        received += len(data)
        return len(data) if received <= ANSWER_BYTES else -1

    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.RESOLVE, [f"{host}:{port}:{','.join(addresses)}"])
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTPS | pycurl.PROTO_HTTP)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_SECONDS)
        curl.setopt(pycurl.TIMEOUT, SECONDS)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.USERAGENT, "notifyhub")
        curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        curl.setopt(pycurl.WRITEFUNCTION, take)
        curl.perform()
        status = int(curl.getinfo(pycurl.RESPONSE_CODE))
    except pycurl.error as error:
        raise PostError(
            _(remarks.DID_NOT_ANSWER) % {"host": host, "error": str(error.args[1])[:200]}
        ) from None
    finally:
        curl.close()
    if not 200 <= status < 300:
        raise PostError(_(remarks.ANSWERED) % {"host": host, "status": status}, final=status == 410)


def _addresses(host: str, port: int, *, own: bool) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PostError(_(remarks.NOT_LOOKED_UP) % {"host": host, "error": error.strerror or error}) from None
    addresses = [str(address[0]) for *_, address in found]
    if not own:
        addresses = [address for address in addresses if is_public(address)]
    if not addresses:
        raise PostError(_(remarks.NOT_PUBLIC) % {"host": host})
    return [f"[{address}]" if ":" in address else address for address in dict.fromkeys(addresses)]
