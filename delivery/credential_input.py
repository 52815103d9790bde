"""What a person pastes as a provider's credentials, read and checked before it is stored."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from devices.words import gettext as _

_APPLE_ID = re.compile(r"[A-Z0-9]{10}")
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,150}")
_NEEDED = ("project_id", "client_email", "private_key")
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
_VAPID = re.compile(r"[A-Za-z0-9_-]{43}=?")
_SUBJECT = re.compile(r"mailto:[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+|https://[^\s/<>]+\.[^\s/<>]+[^\s<>]*")

SECRETS = ("service_account", "private_key", "certificate")
"""Fields that are never shown again, and keep what is stored when they are left empty."""
FIELDS = {
    "fcm": ("service_account",),
    "apns": ("private_key", "key_id", "team_id", "certificate", "topic"),
    "webpush": ("private_key", "subject"),
}
"""What a person writes for each provider."""


class CredentialInputError(Exception):
    """What was pasted is not what the provider gives out; says what it is and where to get the right one."""


class CredentialInputErrors(Exception):
    """What is wrong with several fields: field → sentence."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{name}: {said}" for name, said in faults.items()))


class Written(msgspec.Struct, frozen=True):
    """Credentials as they are stored: `secret` encrypted, `settings` plain; their end where they say it themselves."""

    secret: dict[str, Any]
    settings: dict[str, Any]
    expires_at: datetime | None = None


def read(provider: str, given: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> Written:
    """Return what `given` (by the names in `FIELDS`) comes to; raises `CredentialInputErrors`.

    `stored` is the secret that is there already: what is left empty of `SECRETS` stays.
    """
    reading = _Reading(given, stored or {})
    if provider == "fcm":
        found = Written({"service_account": reading.take("service_account", read_service_account)}, {})
    elif provider == "webpush":
        # nobody has to make a key: the hub does, unless there is one
        pem = reading.take("private_key", read_vapid_key, otherwise=new_vapid_key)
        found = Written({"private_key": pem}, {"subject": reading.take("subject", read_subject)})
    elif reading.has("certificate"):
        found = _certificate(reading)
    else:
        secret = {
            "private_key": reading.take("private_key", read_apns_key),
            "key_id": reading.take("key_id", lambda text: read_apple_id(text, "key id")),
            "team_id": reading.take("team_id", lambda text: read_apple_id(text, "team id")),
        }
        found = Written(secret, {"topic": reading.take("topic", read_topic)})
    if reading.faults:
        raise CredentialInputErrors(reading.faults)
    return found


class _Reading:
    """Fields being read one by one; what is wrong is kept beside its name."""

    def __init__(self, given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
        self.given, self.stored = given, stored
        self.faults: dict[str, str] = {}

    def has(self, name: str) -> bool:
        """Return whether a field is given, or stored and not replaced by another way to authenticate."""
        return bool(self.given.get(name)) or (name in self.stored and not self.given.get("key_id"))

    def take(
        self, name: str, read: Callable[[str], Any], *, otherwise: Callable[[], Any] | None = None
    ) -> Any:
        """Return a field as read, what is stored, what `otherwise` makes, or None with a fault."""
        value = self.given.get(name) or ""
        if not value and name in SECRETS and name in self.stored:
            return self.stored[name]
        if not value and otherwise is not None:
            return otherwise()
        if not value:
            self.faults[name] = _("This is needed.")
            return None
        try:
            return read(value if isinstance(value, str) else json.dumps(value))
        except CredentialInputError as error:
            self.faults[name] = str(error)
            return None


def _certificate(reading: _Reading) -> Written:
    """Return an APNs certificate with its private key; the key may stand in the same text, as openssl writes it."""
    text = str(reading.given.get("certificate") or "")
    if not text:
        pem, key = reading.stored["certificate"], reading.stored["private_key"]
    else:
        pem, key = text, str(reading.given.get("private_key") or "") or text
    try:
        certificate = read_certificate(pem)
    except CredentialInputError as error:
        reading.faults["certificate"] = str(error)
        return Written({}, {})
    try:
        block = _PRIVATE.search(key)
        private = _load(block.group() if block else key.strip(), _("The certificate's private key"))
    except CredentialInputError as error:
        reading.faults["private_key"] = str(error)
        return Written({}, {})
    if _point(private.public_key()) != _point(certificate.public_key()):
        reading.faults["private_key"] = _("This private key does not belong to the certificate.")
    named = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    topic = reading.take("topic", read_topic, otherwise=(lambda: str(named[0].value)) if named else None)
    secret = {
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "private_key": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    return Written(secret, {"topic": topic}, certificate.not_valid_after_utc)


def _point(key: Any) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def read_certificate(text: str) -> x509.Certificate:
    """Return the first certificate of a PEM text; raises `CredentialInputError`, for one that has ended too.

    Source: https://developer.apple.com/documentation/usernotifications/establishing-a-certificate-based-connection-to-apns
    """
    if "BEGIN CERTIFICATE-----" not in text:
        raise CredentialInputError(
            _(
                "This is no PEM certificate. Apple's file becomes one with: openssl pkcs12 -in apns.p12 -nodes -legacy."
            )
        )
    try:
        certificate = x509.load_pem_x509_certificates(text.encode())[0]
    except ValueError:
        raise CredentialInputError(_("This is a damaged PEM certificate; paste it whole.")) from None
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise CredentialInputError(
            _("This certificate ended on %(day)s; make a new one at Apple's site.")
            % {"day": f"{certificate.not_valid_after_utc:%Y-%m-%d}"}
        )
    return certificate


def read_vapid_key(text: str) -> str:
    """Return a VAPID private key as PEM, from PEM or from 32 bytes in base64url, as other tools write it.

    Source: https://www.rfc-editor.org/rfc/rfc8292#section-3.2. Raises `CredentialInputError`.
    """
    found = text.strip()
    if _VAPID.fullmatch(found):
        number = int.from_bytes(urlsafe_b64decode(found.rstrip("=") + "="), "big")
        try:
            return _pem(ec.derive_private_key(number, ec.SECP256R1()))
        except ValueError:
            raise CredentialInputError(_("These 32 bytes are no private key on P-256.")) from None
    key = _load(found, _("This"))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialInputError(_("This is another kind of key; Web Push wants an EC key on P-256."))
    return _pem(key)


def new_vapid_key() -> str:
    """Return a new VAPID private key as PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def is_subject(subject: Any) -> bool:
    """Return whether push services take a text as a contact: Apple refuses names in brackets and bare hosts."""
    return isinstance(subject, str) and bool(_SUBJECT.fullmatch(subject))


def read_subject(text: str) -> str:
    """Return whom push services write to about this sender; raises `CredentialInputError`."""
    found = text.strip()
    if not is_subject(found):
        raise CredentialInputError(
            _(
                "The subject is an address that the push services can write to: mailto:push@example.com, or https://…;"
                " Apple refuses spaces, brackets and names without a dot."
            )
        )
    return found


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
            _(
                "This is not JSON (line %(line)s); paste the whole file that “Generate new private key” downloads."
            )
            % {"line": line}
        ) from None
    if not isinstance(account, dict):
        raise CredentialInputError(_("This JSON is no object; paste the whole service account file."))
    if account.get("type") != "service_account":
        kind = account.get("type")
        found = _("its type is “%(kind)s”") % {"kind": kind} if isinstance(kind, str) else _("it has no type")
        raise CredentialInputError(
            _(
                "This is no service account (%(found)s); in the Firebase console open Project"
                " settings, Service accounts."
            )
            % {"found": found}
        )
    missing = [name for name in _NEEDED if not isinstance(account.get(name), str) or not account[name]]
    if missing:
        raise CredentialInputError(
            _("The service account has no %(listed)s; paste the whole file.")
            % {"listed": _(" and no ").join(missing)}
        )
    if not isinstance(
        _load(account["private_key"], _("The service account's private_key")), rsa.RSAPrivateKey
    ):
        raise CredentialInputError(
            _("The service account's private_key is no RSA key; paste the file as downloaded.")
        )
    return account


def read_apns_key(text: str) -> str:
    """Return the PEM text of an APNs signing key (P-256, from a .p8 file); raises `CredentialInputError`.

    Source: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
    """
    key = _load(text.strip(), _("This"))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialInputError(
            _("This is another kind of key; APNs wants the .p8 file of a key made for APNs (P-256).")
        )
    return text.strip() + "\n"


def read_apple_id(text: str, name: str) -> str:
    """Return a key id or team id; raises `CredentialInputError` unless it is ten capitals and digits."""
    found = text.strip()
    if not _APPLE_ID.fullmatch(found):
        raise CredentialInputError(
            _("A %(name)s is ten capital letters and digits, as AB12CD34EF.") % {"name": name}
        )
    return found


def read_topic(text: str) -> str:
    """Return an APNs topic: the app's bundle id; raises `CredentialInputError`."""
    found = text.strip()
    if not _TOPIC.fullmatch(found):
        raise CredentialInputError(_("The APNs topic is the app's bundle id, as com.example.app."))
    return found


def _load(pem: str, subject: str) -> Any:
    if "BEGIN PUBLIC KEY" in pem or "BEGIN CERTIFICATE" in pem:
        raise CredentialInputError(
            _("%(subject)s is a public key or certificate; the private key is needed.") % {"subject": subject}
        )
    if "PRIVATE KEY-----" not in pem:
        raise CredentialInputError(
            _(
                "%(subject)s is no PEM private key; it begins with “-----BEGIN PRIVATE KEY-----” and is pasted whole."
            )
            % {"subject": subject}
        )
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise CredentialInputError(
            _("%(subject)s is encrypted with a password; use the file as downloaded.") % {"subject": subject}
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialInputError(
            _("%(subject)s is a damaged PEM key; paste it whole, with all its line breaks.")
            % {"subject": subject}
        ) from None
