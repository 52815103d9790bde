"""From an application's stored credentials to what a sender is given; the fleet's addresses where it stands in."""

import hashlib
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from delivery import redis_client
from delivery.models import Credential as StoredCredential
from delivery.senders import registry
from delivery.senders.contract import Credential, Sender
from delivery.senders.tokens import RedisTokenStore
from devices.models import Provider

BASE_URLS = {
    Provider.FCM: ("https://fcm.googleapis.com", ""),
    Provider.APNS: ("https://api.push.apple.com", "https://api.sandbox.push.apple.com"),
}
CACHE_SECONDS = 5.0

_cached: dict[tuple[int, str], tuple[float, Credential]] = {}


class MissingCredentialError(Exception):
    """The application has no credentials for this provider, or the fleet it points to is not running."""


def fingerprint(secret: dict[str, Any]) -> str:
    """Return a short digest that tells two secrets apart and gives none away."""
    return hashlib.sha256(json.dumps(secret, sort_keys=True).encode()).hexdigest()[:16]


def credential_for(application_id: int, provider: str, *, fresh: bool = False) -> Credential:
    """Return an application's credential for a provider; raises `MissingCredentialError`.

    It is kept for a few seconds, unless it has to be `fresh`.
    """
    at, found = _cached.get((application_id, provider), (0.0, None))
    if found is not None and not fresh and time.monotonic() - at < CACHE_SECONDS:
        return found
    stored = StoredCredential.objects.filter(application_id=application_id, provider=provider).first()
    if stored is None:
        raise MissingCredentialError(f"no {provider} credentials: add them under Delivery, Credentials")
    base, sandbox = BASE_URLS[Provider(provider)]
    token_url, authority = "", ""
    if stored.stands_in:
        fleet = fleet_addresses()
        base = fleet[f"{provider}_url"]
        sandbox = fleet.get("apns_sandbox_url", base)
        token_url, authority = fleet["oauth_url"], fleet["ca_file"]
    credential = Credential(
        uid=str(stored.uid) + stored.fingerprint,
        application=application_id,
        secret=stored.secret,
        settings=stored.settings,
        base_url=base,
        sandbox_url=sandbox,
        token_url=token_url,
        ca_file=authority,
    )
    _cached[(application_id, provider)] = (time.monotonic(), credential)
    return credential


def fleet_addresses() -> dict[str, str]:
    """Return where the fleet listens; raises `MissingCredentialError` when it is not running."""
    try:
        addresses: dict[str, str] = json.loads(Path(settings.FLEET_FILE).read_text())
    except (OSError, ValueError):
        raise MissingCredentialError(
            f"the credentials say 'send to the fleet', but none runs ({settings.FLEET_FILE})"
        ) from None
    return addresses


@cache
def sender_for(provider: str) -> Sender:
    """Return this process's sender for a provider; its tokens are shared through Redis."""
    return registry.sender_for(
        provider, tokens=RedisTokenStore(redis_client.client()), streams=settings.STREAMS
    )
