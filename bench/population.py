"""The people of a benchmark: an application at the fleet, and so many subscribers with one device each."""

import itertools
import random
from dataclasses import dataclass
from typing import Any

from delivery import gates
from delivery.credentials import fingerprint
from delivery.models import Credential
from devices import keys, tokens
from devices.models import Application, Device, Platform, Provider, Segment, Subscriber
from fleet.client import Fleet
from notifyhub.demo import world

PROJECT = "notifyhub-bench"
TOPIC = "com.example.bench"
SHARES = {Provider.FCM: 0.45, Provider.APNS: 0.35, Provider.SOCKET: 0.20}
WARM = 1_000
"""People of the segment that warms everything up, spread among the others."""
TOKEN_SECONDS = 12 * 3600
_PLATFORMS = {
    Provider.FCM: itertools.cycle([Platform.ANDROID]),
    Provider.APNS: itertools.cycle([Platform.IOS]),
    Provider.SOCKET: itertools.cycle([Platform.WEB, Platform.TV, Platform.STICK]),
}


@dataclass(frozen=True)
class Population:
    """What a course needs to know of it."""

    application: Application
    api_key: str
    counts: dict[str, int]
    """Devices by provider; every subscriber has one and has consented."""
    warm: Segment
    warm_count: int
    sockets: list[tuple[str, str]]
    """(subscriber token, device uid) of every device that the fleet opens a WebSocket for."""


def shares(devices: int) -> dict[Provider, int]:
    """Return how many devices each provider has; WebSocket gets what rounding leaves."""
    counts = {provider: int(devices * share) for provider, share in SHARES.items()}
    counts[Provider.SOCKET] += devices - sum(counts.values())
    return counts


def populate(fleet: Fleet, *, devices: int) -> Population:
    """Make the application and its people in an empty database."""
    application = Application.objects.create(slug="bench", name="Bench")
    _enrol(application, fleet)
    warm_each = max(1, devices // WARM)
    subscribers = Subscriber.objects.bulk_create(
        (
            Subscriber(
                application=application,
                external_id=person.external_id,
                locale=person.locale,
                time_zone=person.time_zone,
                attributes={
                    "first_name": person.first_name,
                    "country": person.country,
                    "plan": person.plan,
                    "warm": number % warm_each == 0,
                },
            )
            for number, person in enumerate(world.people(devices))
        ),
        batch_size=2_000,
    )
    counts = shares(devices)
    addresses = {
        Provider.FCM: iter(fleet.make_fcm_devices(counts[Provider.FCM], project=PROJECT)),
        Provider.APNS: iter(fleet.make_apns_devices(counts[Provider.APNS], topic=TOPIC)),
        Provider.SOCKET: itertools.repeat(""),
    }
    # Shuffled, so that every page has messages for every provider; the same for every benchmark.
    kinds = [provider for provider, count in counts.items() for _ in range(count)]
    random.Random(1).shuffle(kinds)
    made = Device.objects.bulk_create(
        (
            Device(
                application=application,
                subscriber=subscriber,
                provider=provider,
                platform=next(_PLATFORMS[provider]),
                token=next(addresses[provider]),
            )
            for subscriber, provider in zip(subscribers, kinds, strict=True)
        ),
        batch_size=2_000,
    )
    warm = Segment.objects.create(
        application=application, name="Warm", predicate={"attribute": "warm", "is": True}
    )
    _, api_key = keys.mint(application, name="Bench", scopes=keys.SCOPES)
    return Population(
        application=application,
        api_key=api_key,
        counts={provider.value: count for provider, count in counts.items()},
        warm=warm,
        warm_count=len(range(0, devices, warm_each)),
        sockets=[
            (tokens.mint(device.subscriber, device, seconds=TOKEN_SECONDS), str(device.uid))
            for device in made
            if device.provider == Provider.SOCKET
        ],
    )


def _enrol(application: Application, fleet: Fleet) -> None:
    account = fleet.make_project(PROJECT)["service_account"]
    key = fleet.make_apns_key(topics=[TOPIC])
    apns = {name: key[name] for name in ("private_key", "key_id", "team_id")}
    wanted: tuple[tuple[Provider, Any, Any], ...] = (
        (Provider.FCM, {"service_account": account}, {}),
        (Provider.APNS, apns, {"topic": TOPIC}),
    )
    for provider, secret, settings in wanted:
        Credential.objects.create(
            application=application,
            provider=provider,
            secret=secret,
            settings=settings,
            fingerprint=fingerprint(secret),
            stands_in=True,
        )
        gates.open_(application.pk, provider)
