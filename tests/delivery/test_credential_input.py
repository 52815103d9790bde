"""What is pasted as credentials: the right thing is taken, anything else gets a sentence that helps."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from delivery.credential_input import (
    CredentialInputError,
    read_apns_key,
    read_apple_id,
    read_service_account,
    read_topic,
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
        for read in (read_service_account, read_apns_key):
            with pytest.raises(CredentialInputError) as caught:
                read(text)
            assert secret[:20] not in str(caught.value)
