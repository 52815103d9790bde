"""What a person pastes as a provider's credentials, read and checked before it is stored."""

import json
import re
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_APPLE_ID = re.compile(r"[A-Z0-9]{10}")
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,150}")
_NEEDED = ("project_id", "client_email", "private_key")


class CredentialInputError(Exception):
    """What was pasted is not what the provider gives out; says what it is and where to get the right one."""


def read_service_account(text: str) -> dict[str, Any]:
    """Return a Google service account from the JSON file's text.

    Source: https://firebase.google.com/docs/cloud-messaging/auth-server (Firebase console, project
    settings, service accounts, “Generate new private key”). Raises `CredentialInputError`.
    """
    try:
        account = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise CredentialInputError(
            f"This is not JSON (line {line}); paste the whole file that “Generate new private key” downloads."
        ) from None
    if not isinstance(account, dict):
        raise CredentialInputError("This JSON is no object; paste the whole service account file.")
    if account.get("type") != "service_account":
        kind = account.get("type")
        found = f"its type is “{kind}”" if isinstance(kind, str) else "it has no type"
        raise CredentialInputError(
            f"This is no service account ({found}); in the Firebase console open Project settings, Service accounts."
        )
    missing = [name for name in _NEEDED if not isinstance(account.get(name), str) or not account[name]]
    if missing:
        raise CredentialInputError(
            f"The service account has no {' and no '.join(missing)}; paste the whole file."
        )
    if not isinstance(_load(account["private_key"], "The service account's private_key"), rsa.RSAPrivateKey):
        raise CredentialInputError(
            "The service account's private_key is no RSA key; paste the file as downloaded."
        )
    return account


def read_apns_key(text: str) -> str:
    """Return the PEM text of an APNs signing key (P-256, from a .p8 file); raises `CredentialInputError`.

    Source: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
    """
    key = _load(text.strip(), "This")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialInputError(
            "This is another kind of key; APNs wants the .p8 file of a key made for APNs (P-256)."
        )
    return text.strip() + "\n"


def read_apple_id(text: str, name: str) -> str:
    """Return a key id or team id; raises `CredentialInputError` unless it is ten capitals and digits."""
    found = text.strip()
    if not _APPLE_ID.fullmatch(found):
        raise CredentialInputError(f"A {name} is ten capital letters and digits, as AB12CD34EF.")
    return found


def read_topic(text: str) -> str:
    """Return an APNs topic: the app's bundle id; raises `CredentialInputError`."""
    found = text.strip()
    if not _TOPIC.fullmatch(found):
        raise CredentialInputError("The APNs topic is the app's bundle id, as com.example.app.")
    return found


def _load(pem: str, subject: str) -> Any:
    if "BEGIN PUBLIC KEY" in pem or "BEGIN CERTIFICATE" in pem:
        raise CredentialInputError(f"{subject} is a public key or certificate; the private key is needed.")
    if "PRIVATE KEY-----" not in pem:
        raise CredentialInputError(
            f"{subject} is no PEM private key; it begins with “-----BEGIN PRIVATE KEY-----” and is pasted whole."
        )
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise CredentialInputError(
            f"{subject} is encrypted with a password; use the file as downloaded."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialInputError(
            f"{subject} is a damaged PEM key; paste it whole, with all its line breaks."
        ) from None
