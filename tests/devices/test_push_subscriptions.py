"""A browser's subscription is read strictly: it says where the hub sends, and a stranger wrote it."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devices.fields import token_digest
from devices.push_subscriptions import (
    Subscription,
    SubscriptionError,
    allows,
    key_id,
    of_token,
    origin_of,
    read,
)

HOSTS = ["fcm.googleapis.com", "*.push.apple.com"]
POINT = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)


def encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def subscription(**changed: Any) -> dict[str, Any]:
    keys = {"p256dh": encoded(POINT), "auth": encoded(b"a" * 16)} | changed.pop("keys", {})
    return {"endpoint": "https://fcm.googleapis.com/fcm/send/abc", "keys": keys, **changed}


def test_a_subscription_becomes_a_token_and_is_had_from_it_again() -> None:
    found = read(subscription(expirationTime=None, applicationServerKey=encoded(POINT)), hosts=HOSTS)
    assert found.endpoint == "https://fcm.googleapis.com/fcm/send/abc"
    assert found.key == key_id(POINT)
    assert of_token(found.token) == found


def test_padding_is_taken_and_not_kept() -> None:
    padded = subscription(keys={"auth": encoded(b"a" * 16) + "=="})
    assert read(padded, hosts=HOSTS) == read(subscription(), hosts=HOSTS)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("https://fcm.googleapis.com/x", ""),
        (subscription(url="x"), "url"),
        (subscription(endpoint=None), "endpoint"),
        (subscription(endpoint="http://fcm.googleapis.com/x"), "endpoint"),
        (subscription(endpoint="https://fcm.googleapis.com:8443/x"), "endpoint"),
        (subscription(endpoint="https://fcm.googleapis.com:99999/x"), "endpoint"),
        (subscription(endpoint="https://u@fcm.googleapis.com/x"), "endpoint"),
        (subscription(endpoint="https://fcm.googleapis.com/x#y"), "endpoint"),
        (subscription(endpoint="https://fcm.googleapis.com\\@127.0.0.1/x"), "endpoint"),
        (subscription(endpoint="https://fcm.googleapis.com.evil.example/x"), "endpoint"),
        (subscription(endpoint="https://127.0.0.1/x"), "endpoint"),
        (subscription(endpoint="https://[::1]/x"), "endpoint"),
        (subscription(endpoint="https://push.apple.com/x"), "endpoint"),
        (subscription(endpoint="https://fcm.googleapis.com/\r\nx"), "endpoint"),
        (subscription(endpoint="https://fcm.googleapis.com/" + "x" * 2_000), "endpoint"),
        ({"endpoint": "https://fcm.googleapis.com/x"}, "keys"),
        (subscription(keys={"p256dh": encoded(b"\x04" + b"1" * 64)}), "keys.p256dh"),
        (subscription(keys={"p256dh": encoded(POINT[:64])}), "keys.p256dh"),
        (subscription(keys={"auth": encoded(b"a" * 15)}), "keys.auth"),
        (subscription(keys={"auth": "ä" * 22}), "keys.auth"),
        (subscription(keys={"auth": 7}), "keys.auth"),
        (subscription(applicationServerKey="x"), "applicationServerKey"),
    ],
)
def test_a_wrong_subscription_is_refused_with_its_place(value: Any, field: str) -> None:
    with pytest.raises(SubscriptionError) as caught:
        read(value, hosts=HOSTS)
    assert caught.value.field == field


def test_a_refused_host_is_told_with_those_that_are_allowed() -> None:
    with pytest.raises(SubscriptionError, match=r"evil\.example:443 is none .*fcm\.googleapis\.com"):
        read(subscription(endpoint="https://evil.example/x"), hosts=HOSTS)


def test_a_star_stands_for_names_below_and_not_for_the_name_itself() -> None:
    assert allows("web.push.apple.com", 443, hosts=HOSTS)
    assert not allows("push.apple.com", 443, hosts=HOSTS)
    assert not allows("notpush.apple.com", 443, hosts=HOSTS)


def test_a_private_service_may_have_any_port() -> None:
    assert allows("push.intranet", 8443, hosts=HOSTS, private=["push.intranet"])
    assert not allows("push.intranet", 8443, hosts=["push.intranet"])


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://Web.Push.Apple.com/x", "https://web.push.apple.com"),
        ("https://push.intranet:8443/x", "https://push.intranet:8443"),
        ("https://push.intranet:443/x", "https://push.intranet"),
    ],
)
def test_a_token_is_for_the_endpoints_origin(endpoint: str, origin: str) -> None:
    assert origin_of(endpoint) == origin


def test_two_tokens_with_one_endpoint_are_the_same_address() -> None:
    old, new = Subscription("https://x.test/1", "p", "a"), Subscription("https://x.test/1", "p", "a", "key")
    assert token_digest(old.token) == token_digest(new.token) != token_digest("https://x.test/2")
    assert token_digest('["https://half') != token_digest("")


def test_another_providers_token_is_no_subscription() -> None:
    with pytest.raises(SubscriptionError):
        of_token("abc")
