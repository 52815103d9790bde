"""The parts of a push message that can be looked at alone: encryption, addresses, Topic."""

import base64
import string
from typing import Any

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from delivery.content import Content
from delivery.senders.contract import Envelope
from delivery.senders.http2.link import is_public
from delivery.senders.webpush.encryption import BODY_LIMIT, LIMIT, encrypt
from delivery.senders.webpush.payload import document, topic
from devices.push_subscriptions import Subscription


def browser() -> tuple[ec.EllipticCurvePrivateKey, Subscription]:
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    encoded = [base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in (point, b"s" * 16)]
    return key, Subscription("https://x.test/", *encoded)


def test_only_the_browser_can_read_a_message_and_its_largest_fills_what_a_service_takes() -> None:
    key, subscription = browser()
    body = encrypt(b"x" * LIMIT, subscription)
    assert len(body) == BODY_LIMIT
    assert http_ece.decrypt(body, private_key=key, auth_secret=b"s" * 16) == b"x" * LIMIT
    with pytest.raises(http_ece.ECEException):
        http_ece.decrypt(body, private_key=browser()[0], auth_secret=b"s" * 16)


def test_a_key_pair_is_made_for_every_message() -> None:
    _, subscription = browser()
    headers = {encrypt(b"x", subscription)[:86] for _ in range(3)}
    assert len(headers) == 3


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::a00:1", False),
    ],
)
def test_an_address_is_public_or_not(address: str, public: bool) -> None:
    assert is_public(address) is public


@given(st.text(max_size=80))
def test_a_topic_is_base64url_that_can_be_decoded(identity: Any) -> None:
    found = topic(identity)
    assert len(found) == 32 and set(found) <= set(string.ascii_letters + string.digits + "-_")
    assert len(base64.urlsafe_b64decode(found)) == 24


def test_a_notifications_topic_is_its_id() -> None:
    assert topic("0190f3c2-0000-7000-8000-000000000002") == "0190f3c2000070008000000000000002"


def test_a_badge_is_told_to_the_service_worker() -> None:
    envelope = Envelope("run", "normal", None, [], [])
    assert document(Content(title="T", badge=0), envelope, notification="n")["badge"] == 0
    assert "badge" not in document(Content(title="T"), envelope, notification="n")
