"""Where a push service's name leads: looked up here, public or refused, and pinned for the connection that is made.

A browser names the endpoint, so a stranger does. The name stands on a list, and what it resolves to is checked and is
what is connected to: a name that resolves to something else a moment later (DNS rebinding) leads nowhere else.
"""

import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

KEPT_SECONDS = 60.0
LOOKUP_SECONDS = 5.0
MOST_NAMES = 512

_NAT64 = IPv6Network("64:ff9b::/96")

Lookup = Callable[[str, int], list[str]]


class NotPublicError(Exception):
    """A name that resolves to an address which is not public."""


class NoAddressError(Exception):
    """A name that cannot be resolved now."""


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as the system resolves it; raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Addresses:
    """The addresses of names, kept for a minute. Safe to share between threads."""

    def __init__(self, look_up: Lookup = look_up, *, now: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._now = now
        self._kept: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._lock = threading.Lock()

    def of(self, host: str, port: int, *, private: bool = False) -> list[str]:
        """Return the addresses of a name; raises `NoAddressError`, and `NotPublicError` unless `private` is allowed.

        One address that is not public refuses the name, whatever the others are.
        """
        at, found = self._kept.get((host, port), (float("-inf"), []))
        if self._now() - at > KEPT_SECONDS:
            found = self._resolved(host, port)
            with self._lock:
                while len(self._kept) >= MOST_NAMES:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[(host, port)] = (self._now(), found)
        if not private and (inside := next((one for one in found if not is_public(one)), None)):
            raise NotPublicError(f"{host} resolves to {inside}, which is not public")
        return found

    def _resolved(self, host: str, port: int) -> list[str]:
        """Look a name up, in a thread that may hang: the system's resolver knows no deadline."""
        answer: list[list[str] | OSError] = []
        asked = threading.Thread(
            target=lambda: answer.append(_tried(self._look_up, host, port)), name="lookup", daemon=True
        )
        asked.start()
        asked.join(LOOKUP_SECONDS)
        if not answer:
            raise NoAddressError(f"{host} was not resolved within {LOOKUP_SECONDS:g} s")
        found = answer[0]
        if isinstance(found, OSError):
            raise NoAddressError(f"{host} cannot be resolved: {found}")
        if not found:
            raise NoAddressError(f"{host} has no address")
        return found


def _tried(look_up: Lookup, host: str, port: int) -> list[str] | OSError:
    try:
        return look_up(host, port)
    except (OSError, UnicodeError) as error:
        return error if isinstance(error, OSError) else OSError(str(error))


def is_public(address: str) -> bool:
    """Return whether an address is reachable from everywhere; one that wraps another is what it wraps."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def pin(host: str, port: int, addresses: list[str]) -> str:
    """Return addresses as libcurl's `CURLOPT_RESOLVE` takes them."""
    listed = ",".join(f"[{one.partition('%')[0]}]" if ":" in one else one for one in addresses)
    return f"{host}:{port}:{listed}"
