"""Google's token endpoint for service accounts: a signed assertion in, an access token out.

Source: "Using OAuth 2.0 for Server to Server Applications", developers.google.com/identity/protocols/oauth2.
"""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import parse_qs

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import extract_compact

from fleet.http import Reply, Request, json_reply

TOKEN_PATH = "/token"
SCOPES = frozenset(
    {"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"}
)
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE = 3599
_SKEW = 300
_UNREASONABLE = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


class ServiceAccount(msgspec.Struct, frozen=True):
    """A service account of one FCM project, as the fleet knows it."""

    project: str
    email: str
    key_id: str
    private_key: str

    def document(self, token_url: str) -> dict[str, str]:
        """Return the key file as the Google Cloud console would hand it out."""
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": self.key_id,
            "private_key": self.private_key,
            "client_email": self.email,
            "client_id": str(int(self.key_id[:15], 16)),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_url,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{self.email}",
            "universe_domain": "googleapis.com",
        }


def make_service_account(project: str) -> ServiceAccount:
    """Make a service account with a new RSA key of 2,048 bits (about 0.1 s)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return ServiceAccount(
        project, f"fcm-sender@{project}.iam.gserviceaccount.com", secrets.token_hex(20), pem
    )


class Grant(msgspec.Struct, frozen=True):
    """What an access token opens, and until when (seconds since the epoch)."""

    project: str
    expires_at: float


class TokenEndpoint:
    """Issues access tokens to enrolled service accounts and knows them again."""

    def __init__(self) -> None:
        self.url = ""
        self.refuses = False
        self.issued = 0
        self._accounts: dict[str, tuple[ServiceAccount, RSAKey]] = {}
        self._grants: dict[str, Grant] = {}

    def enrol(self, account: ServiceAccount) -> None:
        self._accounts[account.email] = (account, RSAKey.import_key(account.private_key))

    def grant(self, token: str) -> Grant | None:
        """Return what a token opens, also when it has expired; None for one never issued here."""
        return self._grants.get(token)

    def expire_all(self) -> None:
        """Let every issued token expire now."""
        self._grants = {token: Grant(grant.project, 0.0) for token, grant in self._grants.items()}

    def answer(self, request: Request) -> Reply:
        """Answer POST /token as oauth2.googleapis.com does."""
        if request.method != "POST":
            return _refuse("invalid_request", "Only POST is supported.", status=405)
        form = parse_qs(request.body.decode("utf-8", "replace"))
        grant_type = form.get("grant_type", [""])[0]
        if grant_type != _GRANT:
            return _refuse("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
        account = self._verified(form.get("assertion", [""])[0])
        if isinstance(account, Reply):
            return account
        now = time.time()
        self._grants = {
            token: grant for token, grant in self._grants.items() if grant.expires_at > now - 3600
        }
        token = "ya29.c." + secrets.token_urlsafe(120)
        self._grants[token] = Grant(account.project, now + _LIFE)
        self.issued += 1
        return json_reply(200, {"access_token": token, "expires_in": _LIFE, "token_type": "Bearer"})

    def _verified(self, assertion: str) -> ServiceAccount | Reply:
        if not assertion:
            return _refuse("invalid_request", "Missing required parameter: assertion")
        try:
            unverified = extract_compact(assertion.encode())
            issuer = msgspec.json.decode(unverified.payload, type=dict[str, Any]).get("iss", "")
        except (JoseError, ValueError, msgspec.MsgspecError):
            return _refuse("invalid_grant", "Invalid JWT: Failed to parse the JWT.")
        account, key = self._accounts.get(str(issuer), (None, None))
        if self.refuses or account is None or key is None:
            return _refuse("invalid_grant", "Invalid grant: account not found")
        try:
            verified = jwt.decode(assertion, key, algorithms=["RS256"])
        except (JoseError, ValueError):
            return _refuse("invalid_grant", "Invalid JWT Signature.")
        if verified.header.get("kid", account.key_id) != account.key_id:
            return _refuse("invalid_grant", "Invalid JWT Signature.")
        return self._checked(account, verified.claims)

    def _checked(self, account: ServiceAccount, claims: dict[str, Any]) -> ServiceAccount | Reply:
        issued, expires, now = claims.get("iat"), claims.get("exp"), time.time()
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            return _refuse("invalid_grant", _UNREASONABLE)
        if expires <= now or issued > now + _SKEW or expires - issued > 3600 or expires > now + 3600 + _SKEW:
            return _refuse("invalid_grant", _UNREASONABLE)
        if claims.get("aud") != self.url:
            wanted = f"Invalid JWT: Failed audience check. The right audience is {self.url}"
            return _refuse("invalid_grant", wanted)
        if not SCOPES.intersection(str(claims.get("scope", "")).split()):
            return _refuse("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return account


def _refuse(error: str, description: str, *, status: int = 400) -> Reply:
    return json_reply(status, {"error": error, "error_description": description})
