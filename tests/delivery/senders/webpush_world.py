"""VAPID keys, subscriptions at the fleet and envelopes for them, for the tests of Web Push."""

from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.senders.contract import Credential
from delivery.senders.webpush.key import Signer
from devices.push_subscriptions import Subscription
from fleet.client import Fleet

SUBJECT = "mailto:push@example.com"


def new_pem() -> str:
    """Return a new VAPID private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def credential(fleet: Fleet, *pems: str, **settings: Any) -> Credential:
    """Return an application's credential for the fleet, with new keys unless some are given."""
    where = {"subject": SUBJECT, "hosts": [], "private": ["127.0.0.1"], **settings}
    keys = list(pems) or [new_pem()]
    return Credential(str(uuid4()), 1, {"keys": keys}, where, fleet.webpush_url, ca_file=fleet.ca_file)


def signer(credential: Credential, number: int = 0) -> Signer:
    """Return one of a credential's key pairs."""
    return Signer(credential.secret["keys"][number], SUBJECT)


def subscriptions(fleet: Fleet, count: int, key: Signer | None = None) -> list[Subscription]:
    """Return browsers' subscriptions at the fleet, made with a key or with none."""
    made = fleet.make_subscriptions(count, application_server_key=key.public_key if key else None)
    return [
        Subscription(one["endpoint"], one["keys"]["p256dh"], one["keys"]["auth"], key.id if key else "")
        for one in made
    ]
