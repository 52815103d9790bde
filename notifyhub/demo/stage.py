"""The stage: the demo's application, its people, their devices at the fleet, and what they are told."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from campaigns import launching
from campaigns.models import Campaign, EventType, Rule
from delivery import gates
from delivery.credentials import fingerprint
from delivery.models import Credential
from devices import keys, tokens
from devices.fields import token_digest
from devices.models import ApiKey, Application, Device, Platform, Provider, Subscriber
from fleet.client import Fleet
from notifyhub import demo_page, folder
from notifyhub.demo import world

PROJECT = "notifyhub-demo"
TOPIC = "com.example.demo"
VIEWER = "you"
"""The subscriber whose page a person at a browser opens."""
DOOR_BELL = "com.example.demo.door_bell"
CAMPAIGN = {
    "title": "Hello {{ first_name }}",
    "body": "This reached {{ country }} from your own hub.",
    "locales": {
        "de": {
            "title": "Hallo {{ first_name }}",
            "body": "Das kam von deinem eigenen Hub nach {{ country }}.",
        },
        "es": {"title": "Hola {{ first_name }}", "body": "Esto llegó a {{ country }} desde tu propio hub."},
        "pt": {"title": "Olá {{ first_name }}", "body": "Isto chegou a {{ country }} do seu próprio hub."},
    },
    "overrides": {"tv": {"title": "On screen: hello {{ first_name }}"}},
    "data": {"screen": "welcome"},
    "lane": "normal",
}
SCOPES = tuple(keys.SCOPES)

# Of twenty devices nine are Android phones, seven iPhones, four hold a WebSocket; in this order, so
# that a small sample has them all.
_KINDS: tuple[tuple[Provider, tuple[Platform, ...]], ...] = (
    (Provider.FCM, (Platform.ANDROID,)),
    (Provider.APNS, (Platform.IOS,)),
    (Provider.SOCKET, (Platform.WEB, Platform.TV, Platform.STICK)),
)
_ORDER = (0, 1, 2, 0, 1, 0, 1, 0, 2, 0, 1, 0, 1, 2, 0, 1, 0, 1, 0, 2)


@dataclass(frozen=True)
class Stage:
    """What the demo needs to know of its own application."""

    application: Application
    api_key: str
    viewer: Subscriber
    sockets: list[tuple[str, str]]
    """(subscriber token, device uid) of every device that the fleet opens a WebSocket for."""
    caller: tuple[str, str]
    """(external id, device uid) of somebody with a WebSocket, who gets the critical event."""


def build(fleet: Fleet, *, subscribers: int) -> Stage:
    """Make what is missing of the demo's application; a second start finds it and goes on."""
    application, _ = Application.objects.get_or_create(slug=demo_page.DEMO, defaults={"name": "Demo"})
    fresh = _enrol(application, fleet)
    _people(application, subscribers)
    _devices(application, fleet, fresh=fresh)
    _door_bell(application)
    viewer = Subscriber.objects.get(application=application, external_id=VIEWER)
    demo_page.browser_of(viewer)
    held = list(
        Device.objects.filter(application=application, provider=Provider.SOCKET, state=Device.State.ACTIVE)
        .exclude(subscriber=viewer)
        .select_related("subscriber__application")
        .order_by("pk")
    )
    key = tokens.signing_key(application)
    caller = next(device for device in held if device.subscriber.consent)
    return Stage(
        application=application,
        api_key=_api_key(application),
        viewer=viewer,
        sockets=[
            (tokens.mint(device.subscriber, device, seconds=tokens.LONGEST, key=key), str(device.uid))
            for device in held
        ],
        caller=(caller.subscriber.external_id, str(caller.uid)),
    )


def _enrol(application: Application, fleet: Fleet) -> bool:
    """Give the application credentials at the fleet; return whether this fleet is another than before."""
    account = fleet.make_project(PROJECT)["service_account"]
    stored = Credential.objects.filter(application=application, provider=Provider.FCM).first()
    if stored and stored.fingerprint == fingerprint({"service_account": account}):
        return False
    key = fleet.make_apns_key(topics=[TOPIC])
    apns = {name: key[name] for name in ("private_key", "key_id", "team_id")}
    shown: tuple[tuple[Provider, Any, dict[str, str]], ...] = (
        (Provider.FCM, {"service_account": account}, {}),
        (Provider.APNS, apns, {"topic": TOPIC}),
    )
    for provider, secret, more in shown:
        Credential.objects.update_or_create(
            application=application,
            provider=provider,
            defaults={
                "secret": secret,
                "settings": more,
                "stands_in": True,
                "fingerprint": fingerprint(secret),
            },
        )
        gates.open_(application.pk, provider)
    return True


def _people(application: Application, count: int) -> None:
    rows = [
        Subscriber(
            application=application,
            external_id=person.external_id,
            locale=person.locale,
            time_zone=person.time_zone,
            consent=person.consent,
            attributes={"first_name": person.first_name, "country": person.country, "plan": person.plan},
        )
        for person in world.people(count - 1)
    ]
    you = {"first_name": "you", "country": "your browser", "plan": "pro"}
    rows.append(Subscriber(application=application, external_id=VIEWER, locale="en", attributes=you))
    Subscriber.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)


def _devices(application: Application, fleet: Fleet, *, fresh: bool) -> None:
    """Give everybody but the viewer and the last person a device; new addresses when the fleet is `fresh`."""
    people = list(
        Subscriber.objects.filter(application=application)
        .exclude(external_id=VIEWER)
        .order_by("external_id")
        .values_list("pk", flat=True)
    )
    owned = {
        device.subscriber_id: device
        for device in Device.objects.filter(application=application, state=Device.State.ACTIVE)
    }
    made, moved = [], []
    for subscriber, (provider, platform) in zip(people[:-1], _kinds(), strict=False):
        if (device := owned.get(subscriber)) is None:
            made.append(
                Device(
                    application=application, subscriber_id=subscriber, provider=provider, platform=platform
                )
            )
        elif fresh:
            moved.append(device)
    _address([*made, *moved], fleet)
    with transaction.atomic():
        Device.objects.bulk_create(made, batch_size=500)
        Device.objects.bulk_update(moved, ["token", "token_digest"], batch_size=250)


def _address(rows: list[Device], fleet: Fleet) -> None:
    """Give phones addresses at the fleet."""
    android = [device for device in rows if device.provider == Provider.FCM]
    ios = [device for device in rows if device.provider == Provider.APNS]
    addresses = [
        *(fleet.make_fcm_devices(len(android), project=PROJECT) if android else ()),
        *(fleet.make_apns_devices(len(ios), topic=TOPIC) if ios else ()),
    ]
    for device, token in zip([*android, *ios], addresses, strict=True):
        device.token, device.token_digest = token, token_digest(token)


def _kinds() -> Iterator[tuple[Provider, Platform]]:
    platforms = [itertools.cycle(kinds) for _, kinds in _KINDS]
    for kind in itertools.cycle(_ORDER):
        yield _KINDS[kind][0], next(platforms[kind])


def _door_bell(application: Application) -> None:
    """Make the event type, campaign and rule of the critical event."""
    event_type, _ = EventType.objects.get_or_create(
        application=application,
        name=DOOR_BELL,
        defaults={"lane": "critical", "description": "Somebody is at the door."},
    )
    campaign, made = Campaign.objects.get_or_create(
        application=application,
        name="Door bell",
        defaults={
            "lane": "critical",
            "ttl": 300,
            "title": "Somebody is at the {{ event.data.door }} door",
            "body": "{{ first_name }}, the bell rang.",
        },
    )
    if made:
        launching.approve(campaign, by="the demo")
    values: dict[str, Any] = {"event_type": event_type, "campaign": campaign}
    Rule.objects.get_or_create(
        application=application,
        name="Door bell",
        defaults={**values, "condition": 'event.data.door == "front"'},
    )


def _api_key(application: Application) -> str:
    """Return the demo's API key; its text stands in the data folder, readable by this user only."""
    path = settings.DATA_DIR / "demo_api_key"
    text = folder.read_secret(path)
    try:
        if text and keys.verify(text).application_id == application.pk:
            return text
    except keys.ApiKeyError:
        # Revoked, or another database's: a new one takes its place.
        pass
    path.unlink(missing_ok=True)
    ApiKey.objects.filter(application=application, name="Demo").delete()
    _, text = keys.mint(application, name="Demo", scopes=SCOPES)
    folder.write_secret(path, text)
    return text
