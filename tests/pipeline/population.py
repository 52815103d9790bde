"""More people for a hub that runs already: a drama says how many it is about."""

import itertools
from collections.abc import Iterator

from devices.models import Device, Platform, Provider, Subscriber
from fleet.client import Fleet
from notifyhub.demo import stage, world

BATCH = 2_000
_KINDS = (
    *[(Provider.FCM, Platform.ANDROID)] * 9,
    *[(Provider.APNS, Platform.IOS)] * 7,
    *[(Provider.SOCKET, Platform.WEB)] * 4,
)
"""Of twenty devices nine are Android phones, seven iPhones, four wait for a WebSocket."""


def grow(set_up: stage.Stage, fleet: Fleet, *, people: int) -> None:
    """Give the application so many people in all, each of the new with one device; it never shrinks."""
    application = set_up.application
    there = Subscriber.objects.filter(application=application).count()
    missing = people - there
    if missing <= 0:
        return
    new = Subscriber.objects.bulk_create(
        (
            Subscriber(
                application=application,
                external_id=f"crowd-{there}-{person.external_id}",
                locale=person.locale,
                time_zone=person.time_zone,
                consent=person.consent,
                attributes={"first_name": person.first_name, "country": person.country},
            )
            for person in world.people(missing, seed=there)
        ),
        batch_size=BATCH,
    )
    kinds = list(itertools.islice(itertools.cycle(_KINDS), missing))
    addresses = _addresses(fleet, [provider for provider, _ in kinds])
    Device.objects.bulk_create(
        (
            Device(
                application=application,
                subscriber=subscriber,
                provider=provider,
                platform=platform,
                token=next(addresses[provider]),
            )
            for subscriber, (provider, platform) in zip(new, kinds, strict=True)
        ),
        batch_size=BATCH,
    )


def _addresses(fleet: Fleet, providers: list[Provider]) -> dict[Provider, Iterator[str]]:
    """Return new addresses at the fleet for devices of these providers."""
    fcm, apns = providers.count(Provider.FCM), providers.count(Provider.APNS)
    return {
        Provider.FCM: iter(fleet.make_fcm_devices(fcm, project=stage.PROJECT) if fcm else ()),
        Provider.APNS: iter(fleet.make_apns_devices(apns, topic=stage.TOPIC) if apns else ()),
        Provider.SOCKET: itertools.repeat(""),
    }
