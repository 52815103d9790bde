"""From an application's stored credentials to what a sender is given; the fleet's addresses where it stands in.

Two may be stored for a provider, so that one is replaced without a gap. The newest is shown, until the provider
refuses it while the other is good: then that one is. Web Push shows both, each to the subscriptions made with it.
"""

import hashlib
import json
import time
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.utils import timezone

from delivery import gates, redis_client, remarks
from delivery.models import Credential as StoredCredential
from delivery.senders import registry
from delivery.senders.contract import Credential, Sender
from delivery.senders.network import Network
from delivery.senders.tokens import RedisTokenStore
from delivery.senders.webpush.key import Signer
from devices.models import Provider

log = structlog.get_logger(__name__)

BASE_URLS = {
    Provider.FCM: ("https://fcm.googleapis.com", ""),
    Provider.APNS: ("https://api.push.apple.com", "https://api.sandbox.push.apple.com"),
    # where a check asks; messages go to the endpoints of their subscriptions
    Provider.WEBPUSH: ("https://updates.push.services.mozilla.com", ""),
}
CACHE_SECONDS = 5.0

_cached: dict[tuple[int, str], tuple[float, Credential]] = {}


class MissingCredentialError(Exception):
    """The application has no credentials for this provider, or the fleet it points to is not running."""


def fingerprint(secret: dict[str, Any]) -> str:
    """Return a short digest that tells two secrets apart and gives none away."""
    return hashlib.sha256(json.dumps(secret, sort_keys=True).encode()).hexdigest()[:16]


def credential_for(application_id: int, provider: str, *, fresh: bool = False) -> Credential:
    """Return the credential that an application shows a provider; raises `MissingCredentialError`.

    It is kept for a few seconds, unless it has to be `fresh`.
    """
    at, found = _cached.get((application_id, provider), (0.0, None))
    if found is not None and not fresh and time.monotonic() - at < CACHE_SECONDS:
        return found
    rows = stored(application_id, provider)
    if not rows:
        raise MissingCredentialError(remarks.NO_CREDENTIALS % {"provider": provider})
    found = as_shown(rows[0], others=rows[1:])
    _cached[(application_id, provider)] = (time.monotonic(), found)
    return found


def stored(application_id: int, provider: str) -> list[StoredCredential]:
    """Return what an application has for a provider, what is shown first: good ones before others, then the newest."""
    rows = StoredCredential.objects.filter(application_id=application_id, provider=provider)
    now = timezone.now()
    return sorted(rows.order_by("-stored_at"), key=lambda row: not is_good(row, now))


def is_good(row: StoredCredential, now: datetime) -> bool:
    """Return whether nothing is known against a credential: it was not refused and has not ended."""
    return row.refused_at is None and (row.expires_at is None or row.expires_at > now)


def as_shown(row: StoredCredential, *, others: list[StoredCredential]) -> Credential:
    """Return a stored credential as its sender takes it; raises `MissingCredentialError` without its fleet."""
    base, sandbox = BASE_URLS[Provider(row.provider)]
    token_url, authority = "", ""
    chosen: dict[str, Any] = dict(row.settings)
    secret: dict[str, Any] = row.secret
    if row.stands_in:
        fleet = fleet_addresses()
        try:
            base = fleet[f"{row.provider}_url"]
        except KeyError:
            raise MissingCredentialError(remarks.NOT_OF_THE_FLEET % {"provider": row.provider}) from None
        sandbox = fleet.get("apns_sandbox_url", base)
        token_url, authority = fleet["oauth_url"], fleet["ca_file"]
    if row.provider == Provider.WEBPUSH:
        secret = {"keys": [each.secret["private_key"] for each in (row, *others)]}
        if row.stands_in:
            chosen |= {"hosts": [], "private": [urlsplit(base).hostname]}
        else:
            chosen |= {"hosts": settings.WEB_PUSH_HOSTS, "private": settings.WEB_PUSH_PRIVATE_HOSTS}
    return Credential(
        uid=uid_of(row),
        application=row.application_id,
        secret=secret,
        settings=chosen,
        base_url=base,
        sandbox_url=sandbox,
        token_url=token_url,
        ca_file=authority,
    )


def uid_of(row: StoredCredential) -> str:
    """Return what a credential is known by at its sender: another one when its secret changes."""
    return str(row.uid) + row.fingerprint


def public_key(row: StoredCredential) -> str:
    """Return the application server key of a Web Push credential, which is no secret: what browsers subscribe with."""
    return Signer(row.secret["private_key"], "").public_key


def refused(credential: Credential, provider: str, reason: str) -> None:
    """Note that a provider refuses a credential: the other one is shown from now on, without one the gate is shut."""
    row = next(
        (one for one in stored(credential.application, provider) if uid_of(one) == credential.uid), None
    )
    if row is not None and mark_refused(row, reason):
        log.warning(
            "credential.refused", application=credential.application, provider=provider, reason=reason
        )
        return
    gates.shut(credential.application, provider, remarks.CREDENTIALS_REFUSED % {"code": reason})


def mark_refused(row: StoredCredential, reason: str) -> bool:
    """Note that a provider refuses a stored credential; return whether another takes its place.

    Web Push's never does: a subscription knows one key for life.
    """
    now = timezone.now()
    StoredCredential.objects.filter(pk=row.pk).update(refused_at=now, refused_reason=reason[:100])
    _cached.pop((row.application_id, row.provider), None)
    others = [one for one in stored(row.application_id, row.provider) if one.pk != row.pk]
    return row.provider != Provider.WEBPUSH and any(is_good(one, now) for one in others)


def fleet_addresses() -> dict[str, str]:
    """Return where the fleet listens; raises `MissingCredentialError` when it is not running."""
    try:
        addresses: dict[str, str] = json.loads(Path(settings.FLEET_FILE).read_text())
    except (OSError, ValueError):
        raise MissingCredentialError(remarks.NO_FLEET % {"path": settings.FLEET_FILE}) from None
    return addresses


@cache
def sender_for(provider: str) -> Sender:
    """Return this process's sender for a provider; its tokens are shared through Redis."""
    return registry.sender_for(
        provider,
        tokens=RedisTokenStore(redis_client.client()),
        streams=settings.STREAMS,
        network=Network(
            proxy=settings.PROVIDER_PROXY,
            ca_file=settings.PROVIDER_CA_FILE,
            request_seconds=settings.PROVIDER_SECONDS,
            connection_seconds=settings.PROVIDER_CONNECTION_SECONDS,
            ping_seconds=settings.PROVIDER_PING_SECONDS,
        ),
    )
