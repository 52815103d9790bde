"""Public keys on P-256 as browsers and senders write them: uncompressed points in base64url."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CURVE = ec.SECP256R1()
SIZE = 65


def point_of(public: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as the 65 bytes of an uncompressed point."""
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def read_point(text: str) -> bytes:
    """Return the uncompressed point behind base64url. Raises `ValueError` for what is no P-256 key."""
    bare = text.rstrip("=")
    point = urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    if len(point) != SIZE:
        raise ValueError(f"a key has {SIZE} bytes, this one {len(point)}")
    public_key(point)
    return point


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a point. Raises `ValueError` where it is not on the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)


def base64url(raw: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
