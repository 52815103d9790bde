"""A service account at FCM: pyfcm's payload builder and request headers, with access tokens of our own making.

pyfcm fetches a token for every object it makes and sleeps when Google is slow; here the token comes from the store
that all processes share, and is exchanged on the engine ("Using OAuth 2.0 for Server to Server Applications",
developers.google.com/identity/protocols/oauth2/service-account#httprest).
"""

import re
import time
from typing import Any, cast
from urllib.parse import urlencode

import google.auth.jwt
import msgspec
from google.oauth2 import service_account
from pyfcm import FCMNotification

from delivery.senders.contract import Credential, CredentialError, UnreachableError
from delivery.senders.engine import engine
from delivery.senders.network import DIRECT, Network
from devices.words import gettext as _

BASE_URL = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600
EARLY_SECONDS = 300
"""A token is replaced this long before its end, so that none expires in a batch."""

_PROJECT = re.compile(r"[a-z0-9:.-]{1,100}")


class _Token(msgspec.Struct):
    access_token: str
    expires_in: int


class _Refusal(msgspec.Struct):
    error: str
    error_description: str = ""


class Account(FCMNotification):  # type: ignore[misc]  # pyfcm has no types
    """pyfcm for one credential; raises `CredentialError` when the service account is not well-formed."""

    def __init__(self, credential: Credential, *, network: Network = DIRECT) -> None:
        info = credential.secret.get("service_account")
        if not isinstance(info, dict):
            raise CredentialError(
                "bad_service_account",
                _(
                    "The secret holds no service account: it must be %(shape)s with the JSON key file from the"
                    " Firebase console."
                )
                % {"shape": '{"service_account": {…}}'},
            )
        project = info.get("project_id")
        if not isinstance(project, str) or not _PROJECT.fullmatch(project):
            raise CredentialError(
                "bad_service_account", _("The service account's project_id is missing or malformed.")
            )
        try:
            read: Any = service_account.Credentials.from_service_account_info
            keys = read(info, scopes=[SCOPE])
        except (ValueError, TypeError, AttributeError) as error:
            raise CredentialError(
                "bad_service_account", _("The service account cannot be read: %(error)s") % {"error": error}
            ) from error
        super().__init__(credentials=keys, project_id=project)
        self.FCM_END_POINT_BASE = f"{credential.base_url or BASE_URL}/v1/projects"
        self.token_url = credential.token_url or str(info["token_uri"])
        self._info = info
        self._ca_file = credential.ca_file
        self._network = network

    @property
    def endpoint(self) -> str:
        """The URL of `messages:send`."""
        return cast(str, self.fcm_end_point)

    def payload(self, **parameters: Any) -> bytes:
        """Return pyfcm's payload of a message (`FCMNotification.parse_payload`)."""
        return cast(bytes, self.parse_payload(**parameters))

    def headers(self, access_token: str) -> list[str]:
        """Return pyfcm's request headers as lines; no `Expect: 100-continue`, which costs a round trip."""
        self._access_token = access_token
        return [*(f"{name}: {value}" for name, value in self.request_headers().items()), "Expect:"]

    def _get_access_token(self) -> str:
        return self._access_token

    def mint(self) -> tuple[str, float]:
        """Exchange the service account's signature for an access token; return it and when to make the next.

        Raises `CredentialError` when Google refuses the account, `UnreachableError` when it does not answer.
        """
        now = int(time.time())
        claims = {
            "iss": self._info["client_email"],
            "scope": SCOPE,
            "aud": self.token_url,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        sign: Any = google.auth.jwt.encode
        assertion = sign(self.credentials.signer, claims).decode()
        form = urlencode({"grant_type": GRANT_TYPE, "assertion": assertion}).encode()
        headers = ["Content-Type: application/x-www-form-urlencoded", "Expect:"]
        request = (0, self.token_url, headers, form)
        answer = next(iter(engine("oauth", ca_file=self._ca_file, network=self._network).run([request])))
        if answer.error:
            raise UnreachableError(
                "oauth_unreachable",
                _("%(host)s cannot be reached: %(error)s.") % {"host": self.token_url, "error": answer.error},
            )
        try:
            if answer.status == 200:
                token = msgspec.json.decode(answer.body, type=_Token)
                if not token.access_token.isascii() or not token.access_token.isprintable():
                    raise msgspec.ValidationError("an access token of unprintable characters")
                return token.access_token, now + max(1, token.expires_in - EARLY_SECONDS)
            refusal = msgspec.json.decode(answer.body, type=_Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            refusal = _Refusal("unknown_answer", "an answer that is not OAuth's")
        if answer.status in (400, 401, 403) and refusal.error != "unknown_answer":
            raise CredentialError(
                f"oauth:{refusal.error}",
                _("Google refuses the service account %(account)s: %(reason)s.")
                % {
                    "account": self._info["client_email"],
                    "reason": f"{refusal.error} {refusal.error_description}".rstrip(),
                },
            )
        raise UnreachableError(
            f"oauth:{refusal.error}",
            _("%(host)s answered %(status)s.") % {"host": self.token_url, "status": answer.status},
            retry_after=float(answer.retry_after) or None,
        )
