"""Makes what a sender needs to exist: projects, keys, certificates, phones and subscriptions."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Annotated, Any

import msgspec

from fleet.apns_certificates import ApnsCertificate, Certificates, make_apns_certificate
from fleet.apns_keys import ApnsKey, ProviderTokens, make_apns_key
from fleet.devices import Environment, Provider
from fleet.oauth import ServiceAccount, TokenEndpoint, make_service_account
from fleet.points import base64url, read_point
from fleet.webpush import WebPush
from fleet.world import World

_PROJECT = re.compile(r"[a-z][a-z0-9-]{2,62}").fullmatch
_Topics = Annotated[list[str], msgspec.Meta(min_length=1)]


class MakingError(ValueError):
    """What was asked for cannot be made; the text says why."""


class NewProject(msgspec.Struct, forbid_unknown_fields=True):
    """An FCM project; without a name it gets one."""

    project: str | None = None


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """An APNs key; with `environment` it serves that one only."""

    topics: _Topics
    team: str | None = None
    environment: Environment | None = None


class NewCertificate(msgspec.Struct, forbid_unknown_fields=True):
    """An APNs certificate; with `environment` it serves that one only."""

    topics: _Topics
    environment: Environment | None = None


class NewDevices(msgspec.Struct, forbid_unknown_fields=True):
    """Phones of an FCM project or an APNs topic, or push subscriptions."""

    provider: Provider
    count: int = 1
    project: str | None = None
    topic: str | None = None
    environment: Environment = "production"
    application_server_key: str | None = None


class Maker:
    """Makes things and keeps them in the folder, so that a restart finds them."""

    def __init__(
        self,
        world: World,
        *,
        oauth: TokenEndpoint,
        keys: ProviderTokens,
        certificates: Certificates,
        webpush: WebPush,
    ) -> None:
        self._world = world
        self._oauth = oauth
        self._keys = keys
        self._certificates = certificates
        self._webpush = webpush

    async def project(self, wish: NewProject) -> ServiceAccount:
        """Return the service account of a project, the same again for a known one."""
        name = wish.project or f"fleet-{secrets.token_hex(4)}"
        if not _PROJECT(name):
            raise MakingError(f"project: must be lower-case letters, digits and hyphens, got {name!r}")
        account = self._world.accounts.get(name)
        if account is None:
            account = await asyncio.to_thread(make_service_account, name)
            account = self._world.accounts.setdefault(name, account)
            self._oauth.enrol(account)
            self._world.keep()
        return account

    def document(self, account: ServiceAccount) -> dict[str, str]:
        """Return a service account as Google's key file."""
        return account.document(self._oauth.url)

    def key(self, wish: NewKey) -> ApnsKey:
        """Make an APNs key."""
        key = make_apns_key(wish.topics, team=wish.team, environment=wish.environment)
        self._world.apns_keys[key.key_id] = key
        self._keys.enrol(key)
        self._world.keep()
        return key

    def certificate(self, wish: NewCertificate) -> ApnsCertificate:
        """Make an APNs client certificate with its key."""
        certificate = make_apns_certificate(wish.topics, environment=wish.environment)
        self._world.apns_certificates.append(certificate)
        self._certificates.enrol(certificate)
        self._world.keep()
        return certificate

    def devices(self, wish: NewDevices) -> dict[str, Any]:
        """Make phones ({tokens}) or push subscriptions ({tokens, subscriptions})."""
        if wish.provider == "webpush":
            return self._subscriptions(wish)
        if wish.provider not in ("fcm", "apns"):
            raise MakingError(
                f"provider: {wish.provider} devices are made by POST /sockets and POST /pullers"
            )
        home = wish.project if wish.provider == "fcm" else wish.topic
        if not home:
            raise MakingError(f"{'project' if wish.provider == 'fcm' else 'topic'}: is missing")
        tokens = self._world.devices.make(
            wish.provider, count=wish.count, home=home, environment=wish.environment
        )
        self._world.keep()
        return {"tokens": tokens}

    def _subscriptions(self, wish: NewDevices) -> dict[str, Any]:
        key = wish.application_server_key or ""
        try:
            home = base64url(read_point(key)) if key else ""
        except ValueError as error:
            raise MakingError(f"application_server_key: {error}") from error
        made = self._webpush.subscribe(wish.count, application_server_key=home)
        self._world.keep()
        return {"tokens": [one.endpoint for one in made], "subscriptions": [one.document() for one in made]}
