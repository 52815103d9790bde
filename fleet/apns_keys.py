"""Apple's signing keys and the provider tokens made with them.

Source: "Establishing a token-based connection to APNs", developer.apple.com/documentation/usernotifications.
"""

from __future__ import annotations

import secrets
import string
import time
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from fleet.devices import Environment

_LIFE = 3600
_SKEW = 300
_LEAST_BETWEEN_UPDATES = 20 * 60
_REMEMBERED = 4096
_ALPHABET = string.ascii_uppercase + string.digits


class ApnsKey(msgspec.Struct, frozen=True):
    """A signing key of a team for some topics; with `environment` it serves that one only."""

    team_id: str
    key_id: str
    private_key: str
    topics: tuple[str, ...]
    environment: Environment | None = None


def make_apns_key(topics: list[str], *, team: str | None, environment: Environment | None) -> ApnsKey:
    """Make a P-256 key as Apple's developer site hands out (PKCS 8 PEM)."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return ApnsKey(team or make_id(), make_id(), pem.decode(), tuple(topics), environment)


def make_id() -> str:
    """Return ten characters, as Apple's key and team identifiers have."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


class ProviderTokenError(Exception):
    """A provider token APNs refuses; `reason` is Apple's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProviderTokens:
    """Verifies provider tokens; a token once verified is known again at the cost of one look-up."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[ApnsKey, ECKey]] = {}
        self._known: dict[str, tuple[ApnsKey, float]] = {}
        self._latest: dict[str, tuple[float, str]] = {}

    def enrol(self, key: ApnsKey) -> None:
        self._keys[key.key_id] = (key, ECKey.import_key(key.private_key))

    def verify(self, authorization: str | None, *, limit_updates: bool) -> ApnsKey:
        """Return the key behind an `authorization` header. Raises `ProviderTokenError`.

        With `limit_updates` a key's new token is refused within 20 minutes of its last one.
        """
        known = self._known.get(authorization or "")
        if known is None:
            known = self._verified(authorization or "")
        key, issued = known
        now = time.time()
        if issued < now - _LIFE:
            raise ProviderTokenError("ExpiredProviderToken")
        if limit_updates:
            self._count_update(key, authorization or "", now)
        return key

    def key_id_of(self, authorization: str) -> str:
        """Return the id of the key behind a header that was once verified, empty when that is long ago."""
        known = self._known.get(authorization)
        return known[0].key_id if known is not None else ""

    def _verified(self, authorization: str) -> tuple[ApnsKey, float]:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ProviderTokenError("MissingProviderToken")
        try:
            header, claims, key = self._decode(token)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderTokenError("InvalidProviderToken") from error
        issued = claims.get("iat")
        if header.get("alg") != "ES256" or claims.get("iss") != key.team_id:
            raise ProviderTokenError("InvalidProviderToken")
        if isinstance(issued, bool) or not isinstance(issued, int | float) or issued > time.time() + _SKEW:
            raise ProviderTokenError("InvalidProviderToken")
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[authorization] = (key, float(issued))
        return key, float(issued)

    def _decode(self, token: str) -> tuple[dict[str, Any], dict[str, Any], ApnsKey]:
        found: list[ApnsKey] = []

        def choose(guest: Any) -> ECKey:
            key, public = self._keys[guest.headers()["kid"]]
            found.append(key)
            return public

        verified = jwt.decode(token, choose, algorithms=["ES256"])
        return dict(verified.header), dict(verified.claims), found[0]

    def _count_update(self, key: ApnsKey, authorization: str, now: float) -> None:
        since, latest = self._latest.get(key.key_id, (0.0, ""))
        if authorization == latest:
            return
        if now - since < _LEAST_BETWEEN_UPDATES:
            raise ProviderTokenError("TooManyProviderTokenUpdates")
        self._latest[key.key_id] = (now, authorization)
