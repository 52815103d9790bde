"""Who sends to a push service: the `vapid` authorization, verified.

Source: RFC 8292 (Voluntary Application Server Identification). Apple and Mozilla ask for `sub`, which the standard
leaves open: "Sending web push notifications in web apps and browsers", developer.apple.com/documentation/
usernotifications, and "HTTP Endpoints for Notifications", mozilla-services.github.io/autopush-rs/http.html.
"""

from __future__ import annotations

import re
import time
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from fleet.points import base64url, read_point

_LONGEST_LIFE = 24 * 3600
_SKEW = 60
_REMEMBERED = 4096
_PARAMETER = re.compile(r"""\s*([A-Za-z]+)\s*=\s*"?([A-Za-z0-9._=-]+)"?\s*""").fullmatch
_SUBJECT = re.compile(r"mailto:[^@\s]+@[^@\s]+|https://\S+").fullmatch


class VapidError(Exception):
    """Credentials that do not hold; `missing` where there are none (401), else they are wrong (403)."""

    def __init__(self, text: str, *, missing: bool = False) -> None:
        super().__init__(text)
        self.missing = missing


class Vapid:
    """Verifies `authorization` headers; one once verified is known again at the cost of a look-up.

    `origins` are those of the push resources' URLs.
    """

    def __init__(self) -> None:
        self.origins: frozenset[str] = frozenset()
        self._known: dict[str, tuple[bytes, float]] = {}

    def verify(self, authorization: str | None) -> bytes:
        """Return the sender's public key (an uncompressed point). Raises `VapidError`."""
        if not authorization or authorization[:6].lower() != "vapid ":
            # RFC 8292, section 4.2: what omits the credentials is 401. The drafts' scheme "WebPush" counts as none.
            raise VapidError("Authorization: vapid t=…, k=… is missing", missing=True)
        known = self._known.get(authorization)
        if known is None:
            known = self._verified(authorization)
        key, expires = known
        if expires <= time.time():
            raise VapidError("exp: the token has expired")
        return key

    def _verified(self, authorization: str) -> tuple[bytes, float]:
        given = {}
        for part in authorization[6:].split(","):
            parameter = _PARAMETER(part)
            if parameter:
                given[parameter.group(1).lower()] = parameter.group(2)
        if "t" not in given or "k" not in given:
            raise VapidError("the parameters t and k must both be given")
        try:
            point = read_point(given["k"])
        except ValueError as error:
            raise VapidError("k: must be an uncompressed P-256 point in base64url") from error
        claims = self._decoded(given["t"], point)
        expires = self._checked(claims)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[authorization] = (point, expires)
        return point, expires

    def _decoded(self, token: str, point: bytes) -> dict[str, Any]:
        x, y = base64url(point[1:33]), base64url(point[33:])
        try:
            key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            # Section 2: signed by ES256 and nothing else.
            return dict(jwt.decode(token, key, algorithms=["ES256"]).claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise VapidError("t: the signature does not hold for the key k") from error

    def _checked(self, claims: dict[str, Any]) -> float:
        audience = claims.get("aud")
        if not self.origins.intersection(audience if isinstance(audience, list) else [str(audience)]):
            raise VapidError(f"aud: must be {min(self.origins, default='the origin')}, got {audience!r}")
        expires, now = claims.get("exp"), time.time()
        if isinstance(expires, bool) or not isinstance(expires, int | float):
            raise VapidError("exp: must be a number of seconds")
        if expires <= now:
            raise VapidError("exp: the token has expired")
        if expires > now + _LONGEST_LIFE + _SKEW:
            raise VapidError("exp: must not be more than 24 hours ahead")
        if not _SUBJECT(str(claims.get("sub"))):
            raise VapidError("sub: must be a mailto: or https: address")
        return float(expires)
