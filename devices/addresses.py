"""Where a request comes from: what the proxy before the hub saw, else the other end of the connection."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

MOST = 45
"""Characters of the longest address (RFC 4291 section 2.2)."""


def of_request(request: HttpRequest) -> str:
    """Return the address of whoever sent a request."""
    return _address(request.META.get("HTTP_X_FORWARDED_FOR", ""), request.META.get("REMOTE_ADDR"))


def of_scope(scope: dict[str, Any]) -> str:
    """Return the address of whoever opened a connection, from its ASGI scope."""
    # some proxies write a header of their own behind the device's instead of adding to it
    seen = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"x-forwarded-for"]
    return _address(",".join(seen), (scope.get("client") or ("",))[0])


def _address(forwarded: str, peer: str | None) -> str:
    if settings.BEHIND_TLS and forwarded:
        # the last one is the proxy's word, those before are the device's own
        return forwarded.rpartition(",")[2].strip()[:MOST]
    return (peer or "")[:MOST]
