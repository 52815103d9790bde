"""Subscriber tokens: what an app, a browser or a TV proves with whose device it is.

A token is a JWS (RFC 7515) with a `kid` and the claims of a JWT (RFC 7519): `app` (the
application's uid), `sub` (the subscriber's external id), `device` (its uid), `aud`
"notifyhub", `iat` and `exp`, at most 24 hours apart. The hub mints them with the
application's HS256 key; a service may mint its own with a key it has registered (HS256 or
EdDSA, whose public half the hub holds).
"""

import secrets
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey

from devices import freshness
from devices.models import Application, Device, SigningKey, Subscriber
from devices.short_memory import ShortMemory

AUDIENCE = "notifyhub"
LONGEST = 24 * 3600
"""Seconds between `iat` and `exp` at most."""
CLOCK_SKEW = 60
"""Seconds that a service's clock may be ahead of ours."""
MAX_CHARACTERS = 4096
_HEADERS = {"alg", "kid", "typ"}
_NAMES = {SigningKey.Algorithm.HS256: ("HS256",), SigningKey.Algorithm.EDDSA: ("EdDSA", "Ed25519")}
"""What a header may call a key's algorithm: RFC 9864 renames EdDSA, services' libraries write both."""

_keys: ShortMemory[SigningKey] = ShortMemory()


class TokenError(Exception):
    """A subscriber token that is refused; says why in one sentence, never with the token."""


class Identity(msgspec.Struct, frozen=True):
    """Whose device a token speaks for; instants are epoch seconds.

    `device_id` is None, and `platform` empty, for a device that was never registered.
    """

    application_id: int
    application_uid: UUID
    subscriber_id: int
    subscriber_uid: UUID
    external_id: str
    device_id: int | None
    device_uid: UUID
    platform: str
    issued_at: float
    expires_at: float
    key_id: int


class Issued(msgspec.Struct, frozen=True):
    """A token and the instant (epoch seconds) it is good until."""

    token: str
    expires_at: float


class _Registry(jws.JWSRegistry):
    """Takes the old name for the new one: the library warns of the old at every use."""

    def get_alg(self, name: str) -> Any:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


_registries = {
    SigningKey.Algorithm.HS256: _Registry(algorithms=["HS256"]),
    SigningKey.Algorithm.EDDSA: _Registry(algorithms=["Ed25519"]),
}


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str


class _Claims(msgspec.Struct, frozen=True):
    app: UUID
    sub: str
    device: UUID
    aud: str | list[str]
    iat: float
    exp: float


_read_claims = msgspec.json.Decoder(_Claims).decode


def mint(
    subscriber: Subscriber, device: Device | UUID, *, seconds: int = 3600, key: SigningKey | None = None
) -> str:
    """Return a token for a subscriber's device (which need not be registered yet), good for `seconds`.

    Whoever mints many hands over the application's `signing_key`, which is else read each time.
    """
    return issue(subscriber, device, seconds=seconds, key=key).token


def issue(
    subscriber: Subscriber, device: Device | UUID, *, seconds: int = 3600, key: SigningKey | None = None
) -> Issued:
    """Return `mint`'s token with its end; raises `ValueError` beyond 24 hours."""
    if not 1 <= seconds <= LONGEST:
        raise ValueError(f"A token is good for 1 to {LONGEST} seconds.")
    application = subscriber.application
    key = key or signing_key(application)
    # To the millisecond: a token minted right after `revoked_before` was set must be good.
    now = round(time.time(), 3)
    claims = {
        "app": str(application.uid),
        "sub": subscriber.external_id,
        "device": str(device.uid if isinstance(device, Device) else device),
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + seconds,
    }
    header = {"alg": "HS256", "kid": key.kid, "typ": "JWT"}
    token = jws.serialize_compact(header, msgspec.json.encode(claims), _loaded(key), algorithms=["HS256"])
    return Issued(token, now + seconds)


def signing_key(application: Application) -> SigningKey:
    """Return the application's newest HS256 key that is not retired, made when there is none."""
    standing = SigningKey.objects.filter(
        application=application, algorithm=SigningKey.Algorithm.HS256, retired_at=None
    )
    return standing.first() or SigningKey.objects.create(
        application=application,
        kid=f"hub-{secrets.token_hex(8)}",
        algorithm=SigningKey.Algorithm.HS256,
        jwk=cast(Any, OctKey.generate_key(256).as_dict(private=True)),
    )


def verify(token: str, *, unregistered: bool = False) -> Identity:
    """Return whose device a token speaks for, or raise `TokenError`.

    `unregistered` lets a device pass that was never registered, so that it can register itself.
    """
    key, claims = _read(token)
    subscriber = (
        Subscriber.objects.filter(application_id=key.application_id, external_id=claims.sub)
        .only("pk", "uid", "revoked_before")
        .first()
    )
    if subscriber is None:
        raise TokenError("This token's subscriber is not known.")
    _refuse_revoked(claims, subscriber.revoked_before)
    device_id, platform = _device(claims.device, subscriber, unregistered)
    return _identity(key, claims, subscriber.pk, subscriber.uid, device_id, platform)


def verify_many(shown: Sequence[str]) -> list[tuple[Identity, Sequence[str]] | TokenError]:
    """Return, for each token, its registered device's identity with the application's origins, or why it is refused.

    One query for all of them, and what `verify` needs for each that this one does not find in order.
    """
    found: list[tuple[Identity, Sequence[str]] | TokenError] = []
    read: list[tuple[SigningKey, _Claims] | TokenError] = []
    for token in shown:
        try:
            read.append(_read(token))
        except TokenError as error:
            read.append(error)
    devices = {claims.device for _, claims in (one for one in read if isinstance(one, tuple))}
    rows = {
        row[0]: row[1:]
        for row in Device.objects.filter(uid__in=devices, state=Device.State.ACTIVE).values_list(
            "uid",
            "pk",
            "platform",
            "subscriber__pk",
            "subscriber__uid",
            "subscriber__external_id",
            "subscriber__revoked_before",
            "application_id",
            "seen_at",
        )
    }
    freshness.see([row[0] for row in rows.values() if freshness.is_due(row[7])])
    for token, one in zip(shown, read, strict=True):
        try:
            if isinstance(one, TokenError):
                raise one
            key, claims = one
            row = rows.get(claims.device)
            if row is not None and row[4] == claims.sub and row[6] == key.application_id:
                device_id, platform, subscriber_id, subscriber_uid, _, revoked_before, _, _ = row
                _refuse_revoked(claims, revoked_before)
                identity = _identity(key, claims, subscriber_id, subscriber_uid, device_id, platform)
            else:
                identity = verify(token)
            found.append((identity, key.application.origins))
        except TokenError as error:
            found.append(error)
    return found


def _read(token: str) -> tuple[SigningKey, _Claims]:
    """Return a token's key and claims, which are then believed as far as they go without their rows."""
    key = _key_of(token)
    claims = _claims_of(token, key)
    now = time.time()
    if claims.app != key.application.uid:
        raise TokenError("This token is for another application than its key.")
    if AUDIENCE not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise TokenError(f"This token's aud is not “{AUDIENCE}”.")
    if claims.exp <= now:
        raise TokenError("This token has expired; ask the service for a new one.")
    if claims.iat > now + CLOCK_SKEW:
        raise TokenError("This token's iat is in the future; the clock it was made by is wrong.")
    if not claims.exp - claims.iat <= LONGEST:
        raise TokenError("This token is good for more than 24 hours; make it shorter.")
    return key, claims


def _refuse_revoked(claims: _Claims, revoked_before: datetime | None) -> None:
    if revoked_before and claims.iat < revoked_before.timestamp():
        raise TokenError("This subscriber's earlier tokens were revoked; ask the service for a new one.")


def _identity(
    key: SigningKey,
    claims: _Claims,
    subscriber_id: int,
    subscriber_uid: UUID,
    device_id: int | None,
    platform: str,
) -> Identity:
    return Identity(
        application_id=key.application_id,
        application_uid=key.application.uid,
        subscriber_id=subscriber_id,
        subscriber_uid=subscriber_uid,
        external_id=claims.sub,
        device_id=device_id,
        device_uid=claims.device,
        platform=platform,
        issued_at=claims.iat,
        expires_at=claims.exp,
        key_id=key.pk,
    )


def _key_of(token: str) -> SigningKey:
    """Return the key that a token says it is signed with; nothing of it is believed yet."""
    if len(token) > MAX_CHARACTERS or token.count(".") != 2:
        raise TokenError("This is no subscriber token: a compact JWS has three parts.")
    try:
        raw = jws.extract_compact(token.encode("ascii")).headers()
        header = msgspec.convert(raw, _Header)
    except (JoseError, ValueError, TypeError):
        raise TokenError("This token's header cannot be read; it needs alg and kid.") from None
    if surplus := set(raw) - _HEADERS:
        raise TokenError(
            f"This token's header has {', '.join(sorted(surplus))[:100]}; only alg, kid and typ may stand there."
        )
    key = _keys.get(header.kid)
    if key is None:
        key = SigningKey.objects.select_related("application").filter(kid=header.kid).first()
        if key is None:
            raise TokenError("This token's key (kid) is not known.")
        _keys.put(header.kid, key)
    if key.retired_at is not None:
        raise TokenError("This token's key was retired; ask the service for a new token.")
    if header.alg not in _NAMES[SigningKey.Algorithm(key.algorithm)]:
        raise TokenError(f"This token's key signs with {key.algorithm}, not with what its header says.")
    return key


def _claims_of(token: str, key: SigningKey) -> _Claims:
    try:
        # The algorithms come from the key, never from the token (RFC 8725 section 3.1).
        registry = _registries[SigningKey.Algorithm(key.algorithm)]
        signed = jws.deserialize_compact(token, _loaded(key), registry=registry)
    except (JoseError, ValueError, TypeError):
        raise TokenError("This token's signature is wrong.") from None
    try:
        return _read_claims(signed.payload)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise TokenError(f"This token's claims cannot be read: {error}.") from None


def _loaded(key: SigningKey) -> OctKey | OKPKey:
    if key.algorithm == SigningKey.Algorithm.HS256:
        return OctKey.import_key(key.jwk)
    return OKPKey.import_key(key.jwk)


def _device(uid: UUID, subscriber: Subscriber, unregistered: bool) -> tuple[int | None, str]:
    device = (
        Device.objects.filter(uid=uid).only("pk", "subscriber_id", "state", "platform", "seen_at").first()
    )
    if device is None:
        if unregistered:
            return None, ""
        raise TokenError("This token's device is not registered; register it with PUT /api/v1/devices/<id>.")
    if device.subscriber_id != subscriber.pk:
        raise TokenError("This token's device belongs to somebody else.")
    if device.state != Device.State.ACTIVE and not unregistered:
        raise TokenError("This token's device is retired; register it again.")
    if freshness.is_due(device.seen_at):
        freshness.see([device.pk])
    return device.pk, device.platform
