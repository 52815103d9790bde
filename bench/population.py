"""The people of a benchmark: an application at the fleet, and so many subscribers with one device each."""

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bench.bulk import fill
from delivery import gates
from delivery.credentials import fingerprint
from delivery.models import Credential
from devices import keys, tokens
from devices.models import Application, Category, Device, Platform, Provider, Segment, Subscriber
from fleet.client import Fleet
from notifyhub.demo import world

SHARES = {Provider.FCM: 0.45, Provider.APNS: 0.35, Provider.SOCKET: 0.20}
WARM = 1_000
"""People of the segment that warms everything up, spread among the others."""
TOKEN_SECONDS = 12 * 3600
MODELS = 20_000
"""So many sample people are drawn; more subscribers are these again under other names."""
TOKENS_A_CALL = 50_000
CATEGORY = "news"
CAPS = [
    {"category": None, "count": 900, "hours": 24},
    {"category": CATEGORY, "count": 800, "hours": 7 * 24},
]
"""Frequency caps that count everybody and stop nobody: no benchmark tells anybody that often."""
QUIET = "22:00-08:00"
"""The application's quiet hours. For whom they are near, there are others (`quiet_hours_of`)."""
AHEAD = 6
"""Quiet hours begin so many hours from now at the earliest: longer than any benchmark runs."""

_PLATFORMS = {
    Provider.FCM: (Platform.ANDROID.value,),
    Provider.APNS: (Platform.IOS.value,),
    Provider.SOCKET: (Platform.WEB.value, Platform.TV.value, Platform.STICK.value),
}


@dataclass(frozen=True)
class Population:
    """What a course needs to know of an application; every subscriber has one device and has consented."""

    application: Application
    api_key: str
    category: str
    counts: dict[str, int]
    """Devices by provider."""
    warm: Segment
    warm_count: int
    warm_reachable: int
    online: list[tuple[str, str]]
    """(subscriber token, device uid) of every device that the fleet opens a WebSocket for."""

    @property
    def devices(self) -> int:
        return sum(self.counts.values())

    @property
    def offline(self) -> int:
        """How many devices have a WebSocket and do not open it: what they are told is stored."""
        return self.counts[Provider.SOCKET] - len(self.online)

    @property
    def reachable(self) -> int:
        """How many messages of a campaign to everybody arrive at once."""
        return self.devices - self.offline


def shares(devices: int) -> dict[Provider, int]:
    """Return how many devices each provider has; WebSocket gets what rounding leaves."""
    counts = {provider: int(devices * share) for provider, share in SHARES.items()}
    counts[Provider.SOCKET] += devices - sum(counts.values())
    return counts


def quiet_hours_of(zone: str, now: datetime) -> str:
    """Return a subscriber's own quiet hours; empty where the application's are far enough away.

    So everybody has quiet hours that are looked at, and nobody is held back by them.
    """
    hour = now.astimezone(ZoneInfo(zone)).hour
    if hour >= 8 and hour + AHEAD < 22:
        return ""
    begin = now.astimezone(ZoneInfo(zone)) + timedelta(hours=AHEAD + 1)
    return f"{begin.hour:02}:00-{(begin.hour + 8) % 24:02}:00"


def populate(
    fleet: Fleet, *, devices: int, online: int | None = None, limits: bool = False, slug: str = "bench"
) -> Population:
    """Make an application and its people; `limits` switches frequency caps and quiet hours on.

    At most `online` of those with a WebSocket open it (None: all).
    """
    application = Application.objects.create(
        slug=slug, name=slug.title(), caps=CAPS if limits else [], quiet_hours=QUIET if limits else ""
    )
    if limits:
        Category.objects.create(application=application, key=CATEGORY, name="News")
    _enrol(application, fleet)
    counts = shares(devices)
    # Shuffled, so that every page has messages for every provider; the same for every benchmark.
    kinds = [provider for provider, count in counts.items() for _ in range(count)]
    random.Random(1).shuffle(kinds)
    warm_each = max(1, devices // WARM)
    first = fill(
        Subscriber(application=application),
        ("uid", "external_id", "locale", "time_zone", "quiet_hours", "attributes"),
        _people(devices, warm_each, limits=limits),
    )
    fill(
        Device(application=application),
        ("subscriber", "uid", "provider", "platform", "token"),
        _devices(fleet, application, kinds, first),
    )
    warm = Segment.objects.create(
        application=application, name="Warm", predicate={"attribute": "warm", "is": True}
    )
    _, api_key = keys.mint(application, name="Bench", scopes=keys.SCOPES)
    holders = [number for number, provider in enumerate(kinds) if provider == Provider.SOCKET]
    opened = spread(holders, online)
    silent = [number for number in set(holders).difference(opened) if number % warm_each == 0]
    warm_count = len(range(0, devices, warm_each))
    return Population(
        application=application,
        api_key=api_key,
        category=CATEGORY if limits else "",
        counts={provider.value: count for provider, count in counts.items()},
        warm=warm,
        warm_count=warm_count,
        warm_reachable=warm_count - len(silent),
        online=_pairs(application, [first + number for number in opened]),
    )


def spread(holders: list[int], most: int | None) -> list[int]:
    """Return at most so many (None: all) of the holders, spread evenly, so that every page has some."""
    if most is None or most >= len(holders):
        return holders
    return [holders[at * len(holders) // most] for at in range(most)]


def _people(count: int, warm_each: int, *, limits: bool) -> Iterator[tuple[str, ...]]:
    now = datetime.now(UTC)
    zones: dict[str, str] = {}
    models = []
    for person in world.people(min(count, MODELS)):
        zone = person.time_zone
        if zone not in zones:
            zones[zone] = quiet_hours_of(zone, now) if limits else ""
        known = {"first_name": person.first_name, "country": person.country, "plan": person.plan}
        cold, warm = (json.dumps({**known, "warm": is_warm}, ensure_ascii=False) for is_warm in (False, True))
        models.append((person.locale, zone, zones[zone], cold, warm))
    for number, (locale, zone, quiet, cold, warm) in zip(range(count), itertools.cycle(models), strict=False):
        attributes = cold if number % warm_each else warm
        yield _uid(), f"person-{number:07}", locale, zone, quiet, attributes


def _devices(
    fleet: Fleet, application: Application, kinds: list[Provider], first: int
) -> Iterator[tuple[str | int, ...]]:
    """Yield the row of each subscriber's device; the subscribers' keys go on from `first`."""
    addresses = {
        provider: _addresses(fleet, application, provider, kinds.count(provider))
        for provider in (Provider.FCM, Provider.APNS)
    } | {Provider.SOCKET: itertools.repeat("")}
    platforms = {provider: itertools.cycle(names) for provider, names in _PLATFORMS.items()}
    for number, provider in enumerate(kinds, first):
        yield number, _uid(), provider.value, next(platforms[provider]), next(addresses[provider])


def _uid() -> str:
    """Return a random UUID's 32 digits; the standard library's own takes ten times as long."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:12]}4{digits[13:16]}8{digits[17:]}"


def _addresses(fleet: Fleet, application: Application, provider: Provider, count: int) -> Iterator[str]:
    for start in range(0, count, TOKENS_A_CALL):
        some = min(TOKENS_A_CALL, count - start)
        if provider == Provider.FCM:
            yield from fleet.make_fcm_devices(some, project=_project(application))
        else:
            yield from fleet.make_apns_devices(some, topic=_topic(application))


def _pairs(application: Application, subscribers: list[int]) -> list[tuple[str, str]]:
    key = tokens.signing_key(application)
    pairs = []
    for start in range(0, len(subscribers), 500):
        held = Device.objects.filter(subscriber__in=subscribers[start : start + 500])
        for device in held.select_related("subscriber__application"):
            token = tokens.mint(device.subscriber, device, seconds=TOKEN_SECONDS, key=key)
            pairs.append((token, str(device.uid)))
    return pairs


def _project(application: Application) -> str:
    return f"notifyhub-{application.slug}"


def _topic(application: Application) -> str:
    return f"com.example.{application.slug}"


def _enrol(application: Application, fleet: Fleet) -> None:
    account = fleet.make_project(_project(application))["service_account"]
    key = fleet.make_apns_key(topics=[_topic(application)])
    apns = {name: key[name] for name in ("private_key", "key_id", "team_id")}
    wanted: tuple[tuple[Provider, Any, Any], ...] = (
        (Provider.FCM, {"service_account": account}, {}),
        (Provider.APNS, apns, {"topic": _topic(application)}),
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
