"""What is pasted as credentials: the right thing is taken, anything else gets a sentence that helps."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from delivery.credential_input import (
    CredentialInputError,
    CredentialInputErrors,
    new_vapid_key,
    read,
    read_apns_key,
    read_apple_id,
    read_service_account,
    read_subject,
    read_topic,
    read_vapid_key,
)

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any, encryption: Any = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()


def account(**changes: Any) -> str:
    whole = {
        "type": "service_account",
        "project_id": "shop",
        "client_email": "push@shop.iam.gserviceaccount.com",
        "private_key": pem(RSA),
    }
    return json.dumps({name: value for name, value in {**whole, **changes}.items() if value is not None})


def test_a_service_account_is_read() -> None:
    assert read_service_account(account())["project_id"] == "shop"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "not JSON (line 1)"),
        ('{"a": 1,\n"b"}', "not JSON (line 2)"),
        ("[]", "no object"),
        ("{}", "it has no type"),
        (account(type="authorized_user"), "its type is “authorized_user”"),
        (account(private_key=None), "has no private_key"),
        (account(private_key=None, project_id=""), "has no project_id and no private_key"),
        (account(private_key="secret"), "no PEM private key"),
        (account(private_key=pem(P256)), "no RSA key"),
        (
            account(private_key=pem(RSA)[:200]),
            "no PEM private key" if "PRIVATE KEY-----" not in pem(RSA)[:200] else "damaged",
        ),
    ],
)
def test_what_is_no_service_account_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(CredentialInputError) as caught:
        read_service_account(text)
    assert said in str(caught.value)


def test_an_apns_key_is_read_with_space_around_it() -> None:
    assert read_apns_key(f"\n {pem(P256)} \n") == pem(P256)


PUBLIC = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "no PEM private key"),
        (PUBLIC, "public key or certificate"),
        (pem(RSA), "another kind of key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "another kind of key"),
        (pem(P256).replace("M", "", 3), "damaged"),
        (pem(P256, BestAvailableEncryption(b"x")), "encrypted with a password"),
    ],
)
def test_what_is_no_apns_key_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(CredentialInputError) as caught:
        read_apns_key(text)
    assert said in str(caught.value)


def test_ids_and_topics_are_checked() -> None:
    assert read_apple_id(" AB12CD34EF ", "key id") == "AB12CD34EF"
    assert read_topic("com.example.app ") == "com.example.app"
    with pytest.raises(CredentialInputError):
        read_apple_id("ab12cd34ef", "key id")
    with pytest.raises(CredentialInputError):
        read_topic("com example")


def test_no_refusal_repeats_what_was_pasted() -> None:
    secret = pem(P256)[40:80]
    for text in (pem(P256)[:150], account(private_key=secret), f"x{secret}"):
        for reader in (read_service_account, read_apns_key):
            with pytest.raises(CredentialInputError) as caught:
                reader(text)
            assert secret[:20] not in str(caught.value)


def certificate(key: Any = P256, *, topic: str = "com.example.app", days: int = 365) -> str:
    """Return an APNs certificate as Apple makes it: the app's bundle id is the subject's UID."""
    now = datetime.now(UTC)
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services")]
    if topic:
        names.append(x509.NameAttribute(NameOID.USER_ID, topic))
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name(names))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def test_a_certificate_brings_its_key_its_topic_and_its_end() -> None:
    written = read("apns", {"certificate": pem(P256) + certificate()})
    assert written.settings == {"topic": "com.example.app"} and set(written.secret) == {
        "certificate",
        "private_key",
    }
    assert written.expires_at is not None and written.expires_at > datetime.now(UTC) + timedelta(days=364)
    apart = read(
        "apns", {"certificate": certificate(), "private_key": pem(P256), "topic": "com.example.other"}
    )
    assert apart.settings == {"topic": "com.example.other"}


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"certificate": "x"}, "certificate", "openssl pkcs12"),
        ({"certificate": certificate()[:400], "private_key": pem(P256)}, "certificate", "damaged"),
        ({"certificate": certificate(days=-1), "private_key": pem(P256)}, "certificate", "ended on"),
        ({"certificate": certificate()}, "private_key", "the private key is needed"),
        ({"certificate": certificate(), "private_key": pem(RSA)}, "private_key", "does not belong"),
        ({"certificate": certificate(topic=""), "private_key": pem(P256)}, "topic", "needed"),
    ],
)
def test_a_wrong_certificate_is_refused_beside_its_field(
    given: dict[str, str], field: str, said: str
) -> None:
    with pytest.raises(CredentialInputErrors) as caught:
        read("apns", given)
    assert list(caught.value.faults) == [field] and said in caught.value.faults[field]


def test_a_stored_certificate_stays_when_only_the_topic_changes() -> None:
    first = read("apns", {"certificate": pem(P256) + certificate()})
    again = read("apns", {"topic": "com.example.other"}, first.secret)
    assert again.secret == first.secret and again.settings == {"topic": "com.example.other"}


def test_a_signing_key_takes_the_place_of_a_certificate() -> None:
    first = read("apns", {"certificate": pem(P256) + certificate()})
    ids = {"key_id": "AB12CD34EF", "team_id": "AB12CD34EG", "topic": "com.example.app"}
    again = read("apns", {**ids, "private_key": pem(P256)}, first.secret)
    assert set(again.secret) == {"private_key", "key_id", "team_id"}


def test_a_vapid_key_is_read_as_pem_and_as_tools_write_it() -> None:
    number = P256.private_numbers().private_value.to_bytes(32, "big")
    raw = urlsafe_b64encode(number).rstrip(b"=").decode()
    assert read_vapid_key(raw) == read_vapid_key(pem(P256))
    for wrong in ("x", pem(RSA), urlsafe_b64encode(b"\xff" * 32).decode().rstrip("=")):
        with pytest.raises(CredentialInputError):
            read_vapid_key(wrong)


def test_without_a_vapid_key_one_is_made_and_kept() -> None:
    made = read("webpush", {"subject": "mailto:push@example.com"})
    assert load_pem_private_key(made.secret["private_key"].encode(), None)
    again = read("webpush", {"subject": "https://example.com/push"}, made.secret)
    assert again.secret == made.secret and again.settings == {"subject": "https://example.com/push"}
    assert new_vapid_key() != new_vapid_key()


@pytest.mark.parametrize(
    "subject",
    [
        "push@example.com",
        "mailto: <push@example.com>",
        "mailto:admin@localhost",
        "http://example.com",
        "https://host",
    ],
)
def test_a_subject_that_a_push_service_refuses_is_refused_here(subject: str) -> None:
    with pytest.raises(CredentialInputError, match="mailto:push@example"):
        read_subject(subject)
