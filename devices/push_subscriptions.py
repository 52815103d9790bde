"""A browser's push subscription as a device's token: read strictly, kept as text, and where it may lead.

Sources: the Push API (w3.org/TR/push-api, `PushSubscription.toJSON`), RFC 8030 section 8.3 (whoever sends must not be
made to send anywhere), RFC 8291 section 3.1 (the keys).
"""

import hashlib
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from devices.words import gettext as _
from devices.words import number

ENDPOINT_LIMIT = 2_000
POINT_BYTES = 65
"""An uncompressed point on P-256."""
AUTH_BYTES = 16

_VISIBLE = re.compile(r"[!-~]+")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class SubscriptionError(ValueError):
    """A subscription that cannot be sent to: `field` (as `keys.auth`, empty for all of it) and a sentence."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        super().__init__(sentence)


class Subscription(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a browser is pushed to. `p256dh` and `auth` are base64url without padding.

    `key` tells the application server key (VAPID) it was made with (`key_id`), empty when that is not known.
    """

    endpoint: str
    p256dh: str
    auth: str
    key: str = ""

    @property
    def token(self) -> str:
        """The subscription as a device's token."""
        return _encode(self).decode()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Subscription).decode


def of_token(token: str) -> Subscription:
    """Return the subscription of `Subscription.token`; raises `SubscriptionError` for any other text."""
    try:
        return _decode(token)
    except msgspec.DecodeError:
        raise SubscriptionError("", _("This token is no push subscription.")) from None


def address_of(token: str) -> str:
    """Return what two tokens are the same by: a subscription's endpoint, any other token itself."""
    if not token.startswith('["https://'):
        return token
    try:
        return _decode(token).endpoint
    except msgspec.DecodeError:
        return token


def read(value: Any, *, hosts: Iterable[str], private: Iterable[str] = ()) -> Subscription:
    """Return a subscription as a browser hands it over (`PushSubscription.toJSON()`); raises `SubscriptionError`.

    `hosts` and `private` are the allow-lists of `allows`. Besides the standard's members `applicationServerKey`
    is taken: the public key it was made with, as base64url.
    """
    if not isinstance(value, dict):
        raise SubscriptionError(
            "", _("Write the subscription as an object, as PushSubscription.toJSON() gives it.")
        )
    unknown = value.keys() - {"endpoint", "keys", "expirationTime", "applicationServerKey"}
    if unknown:
        name = min(map(str, unknown))[:50]
        raise SubscriptionError(
            name,
            _("There is no such field; there are endpoint, keys, expirationTime and applicationServerKey."),
        )
    endpoint = _endpoint(value.get("endpoint"), hosts, private)
    keys = value.get("keys")
    if not isinstance(keys, dict):
        raise SubscriptionError("keys", _("Write an object with p256dh and auth."))
    p256dh = _bytes("keys.p256dh", keys.get("p256dh"), POINT_BYTES)
    _check_point("keys.p256dh", p256dh)
    _bytes("keys.auth", keys.get("auth"), AUTH_BYTES)
    made_with = value.get("applicationServerKey")
    if made_with is not None:
        point = _bytes("applicationServerKey", made_with, POINT_BYTES)
        _check_point("applicationServerKey", point)
        made_with = key_id(point)
    return Subscription(endpoint, keys["p256dh"].rstrip("="), keys["auth"].rstrip("="), made_with or "")


def key_id(public_key: bytes) -> str:
    """Return what tells an application server key (65 bytes) from another."""
    return hashlib.sha256(public_key).hexdigest()[:12]


def origin_of(endpoint: str) -> str:
    """Return an endpoint's origin as RFC 6454 section 6.2 writes it: what a VAPID token is for."""
    parts = urlsplit(endpoint)
    port = f":{parts.port}" if parts.port not in (None, 443) else ""
    return f"https://{parts.hostname}{port}"


def allows(host: str, port: int, *, hosts: Iterable[str], private: Iterable[str] = ()) -> bool:
    """Return whether a host stands on a list: on `hosts` with port 443, on `private` with any.

    `*.example.com` stands for every name below example.com.
    """
    if any(_matches(host, pattern) for pattern in private):
        return True
    return port == 443 and any(_matches(host, pattern) for pattern in hosts)


def is_private(host: str, private: Iterable[str]) -> bool:
    """Return whether a host may have an address that is not public."""
    return any(_matches(host, pattern) for pattern in private)


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:].lower()) and len(host) >= len(pattern)
    return host == pattern.lower()


def _endpoint(value: Any, hosts: Iterable[str], private: Iterable[str]) -> str:
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value) or len(value) > ENDPOINT_LIMIT:
        raise SubscriptionError(
            "endpoint",
            _("Write the address of the push service, at most %(endpoint_limit)s visible ASCII characters.")
            % {"endpoint_limit": number(ENDPOINT_LIMIT)},
        )
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        raise SubscriptionError("endpoint", _("This is no address.")) from None
    if parts.scheme != "https" or not host or "@" in parts.netloc or "\\" in value or parts.fragment:
        raise SubscriptionError(
            "endpoint", _("A push service's address begins with https:// and has no user and no fragment.")
        )
    if not allows(host, port, hosts=hosts, private=private):
        listed = ", ".join([*hosts, *private])
        raise SubscriptionError(
            "endpoint",
            _(
                "%(host)s:%(port)s is none of the push services that this hub sends to (%(listed)s); the operator may"
                " list it in NOTIFYHUB_WEB_PUSH_HOSTS."
            )
            % {"host": host, "port": port, "listed": listed},
        )
    return value


def _bytes(field: str, value: Any, count: int) -> bytes:
    if isinstance(value, str) and _BASE64URL.fullmatch(value.rstrip("=")):
        try:
            found = urlsafe_b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4))
        except Base64Error:
            found = b""
        if len(found) == count:
            return found
    raise SubscriptionError(field, _("Write %(count)s bytes in base64url.") % {"count": count})


def _check_point(field: str, point: bytes) -> None:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise SubscriptionError(field, _("This is no point on the curve P-256.")) from None
