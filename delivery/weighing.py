"""Whether what a snapshot says fits into the messages of its providers, before anybody is told.

Here nobody's attributes are known: data that is too large whoever reads it is found, the rest by a dry run.
"""

from collections.abc import Iterable, Iterator
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _

from delivery.rendering import Renderer
from delivery.senders.contract import Envelope
from delivery.senders.sizes import fit
from delivery.snapshot import Snapshot
from devices.models import Platform, Provider
from devices.words import number

PROVIDERS: dict[str, tuple[str, ...]] = {
    Platform.ANDROID: (Provider.FCM,),
    Platform.IOS: (Provider.APNS, Provider.FCM),
    Platform.WEB: (Provider.WEBPUSH, Provider.FCM),
    Platform.TV: (Provider.FCM, Provider.APNS),
    Platform.STICK: (Provider.FCM,),
}
"""The providers that may bring a message to a platform; each may hold a WebSocket besides."""
SMALL_BYTES = 2_000
"""A snapshot of no more bytes fits everywhere, and is not weighed."""

_RUN = str(UUID(int=0))


class TooLarge(msgspec.Struct, frozen=True):
    """Data that a provider does not take: the place (as `locales.de.data`), its bytes and the limit."""

    field: str
    provider: str
    size: int
    limit: int

    @property
    def reason(self) -> str:
        """A sentence for people."""
        name = Provider(self.provider).label
        return _(
            "a message is %(size)s bytes to %(provider)s, which takes %(limit)s, and no text of it is long"
            " enough to be cut: make the data smaller"
        ) % {"size": number(self.size), "provider": name, "limit": number(self.limit)}


def too_large(snapshot: Snapshot, providers: Iterable[str]) -> TooLarge | None:
    """Return the first place of a snapshot whose data does not fit at one of the providers, None when all fits."""
    if len(msgspec.json.encode(snapshot.texts)) + len(msgspec.json.encode(snapshot.overrides)) <= SMALL_BYTES:
        return None
    return next(_too_large(snapshot, frozenset(providers)), None)


def _too_large(snapshot: Snapshot, providers: frozenset[str]) -> Iterator[TooLarge]:
    renderer = Renderer(snapshot)
    envelope = Envelope(_RUN, "normal", None, [], [], tag=snapshot.tag)
    for locale in snapshot.texts:
        for platform, ways in PROVIDERS.items():
            if snapshot.platforms and platform not in snapshot.platforms:
                continue
            content = renderer.render(renderer.locale(locale), platform, {})
            for provider in ways:
                if provider not in providers:
                    continue
                found = fit(provider, content, envelope, platform=platform)
                if found.outcome == "too_large":
                    yield TooLarge(_place(snapshot, locale, platform), provider, found.size, found.limit)


def _place(snapshot: Snapshot, locale: str, platform: str) -> str:
    """Return where the data that is too large was written."""
    over = snapshot.overrides.get(platform)
    if over is not None and (over.data or over.android or over.ios or over.web):
        return f"overrides.{platform}"
    text = snapshot.texts[locale]
    if locale != snapshot.locale and (text.data or text.android or text.ios or text.web):
        return f"locales.{locale}"
    fallback = snapshot.texts[snapshot.locale]
    options = {"ios": fallback.ios, "web": fallback.web}.get(platform, fallback.android)
    return (
        "data" if len(msgspec.json.encode(fallback.data)) >= len(msgspec.json.encode(options)) else platform
    )
