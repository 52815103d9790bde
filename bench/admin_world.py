"""A large application for the admin's pages: people, campaigns, and runs with their pages, parcels and tallies."""

import itertools
import json
import random
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.db import connection

from bench.admin import Asked
from bench.bulk import fill
from campaigns.models import (
    Campaign,
    CampaignVersion,
    Decision,
    Event,
    EventType,
    Experiment,
    Rule,
    Schedule,
    Variant,
)
from delivery.models import (
    AlertRule,
    Credential,
    Gate,
    Incident,
    Page,
    Parcel,
    Run,
    Stopped,
    Tally,
    WorkState,
)
from delivery.snapshot import Snapshot, Text, to_json
from devices.models import (
    ApiKey,
    Application,
    Category,
    Device,
    Membership,
    Role,
    Segment,
    Subscriber,
)

LOCALES = ("en", "de", "fr", "es", "pt-BR", "ja", "ar", "it")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "America/Sao_Paulo")
PLATFORMS = (("android", "fcm"), ("ios", "apns"), ("web", "socket"), ("tv", "socket"))
KINDS = ("acknowledged", "displayed", "opened", "dismissed")
EVENTS = 20_000
HOURS = 30


def populate(asked: Asked) -> User:
    """Make the application; return its owner."""
    rng = random.Random(1)
    application = Application.objects.create(slug="large", name="Large")
    owner = User.objects.create_user("owner", is_staff=True)
    Membership.objects.create(user=owner, application=application, role=Role.ADMINISTRATOR)
    first = fill(
        Subscriber(application=application),
        ("uid", "external_id", "locale", "time_zone", "attributes"),
        (
            (
                _uid(rng),
                f"person-{number:07}",
                LOCALES[number % len(LOCALES)],
                ZONES[number % len(ZONES)],
                json.dumps({"first_name": f"Ada {number}", "plan": ("free", "pro")[number % 5 == 0]}),
            )
            for number in range(asked.subscribers)
        ),
    )
    fill(
        Device(application=application, token=""),
        ("subscriber", "uid", "provider", "platform", "token", "seen_at", "state"),
        _devices(rng, asked.subscribers, first),
    )
    category = Category.objects.create(application=application, key="news", name="News")
    segments = [
        Segment(
            application=application, name=f"Segment {number}", predicate={"attribute": "plan", "is": "pro"}
        )
        for number in range(100)
    ]
    Segment.objects.bulk_create(segments)
    snapshot = to_json(
        Snapshot(texts={name: Text(title="Hi {{ first_name }}", body="News " * 20) for name in LOCALES})
    )
    campaigns = _campaigns(application, category, segments, snapshot, asked.campaigns)
    _runs(rng, application, category, campaigns, snapshot, asked)
    _events(application, campaigns)
    _rest(application)
    with connection.cursor() as cursor:
        # as PostgreSQL does by itself a while after, and not while pages are measured
        cursor.execute("VACUUM (ANALYZE)")
    return owner


def _uid(rng: random.Random) -> str:
    return uuid.UUID(int=rng.getrandbits(128), version=4).hex


def _devices(rng: random.Random, count: int, first: int) -> Iterator[tuple[str | int, ...]]:
    now = datetime.now(UTC)
    seen = [(now - timedelta(days=days)).isoformat() for days in range(300)]
    for number in range(count):
        platform, provider = PLATFORMS[number % len(PLATFORMS)]
        token = "" if provider == "socket" else f"token-{number}"
        # one in ten was not seen for a month, one in fifty is retired
        days = 40 + number % 250 if number % 10 == 0 else number % 25
        state = "retired" if number % 50 == 0 else "active"
        yield first + number, _uid(rng), provider, platform, token, seen[days], state


def _campaigns(
    application: Application, category: Category, segments: list[Segment], snapshot: object, count: int
) -> list[Campaign]:
    states = itertools.cycle([Campaign.State.ENDED, Campaign.State.ENDED, Campaign.State.LIVE, "draft"])
    made = Campaign.objects.bulk_create(
        [
            Campaign(
                application=application,
                name=f"Campaign {number}",
                title="Hi {{ first_name }}",
                body="News",
                category=category,
                segment=segments[number % len(segments)] if number else None,  # the first is for everybody
                state=next(states),
            )
            for number in range(count)
        ]
    )
    trials = Experiment.objects.bulk_create(
        [Experiment(application=application, campaign=campaign, control=10) for campaign in made[::5]]
    )
    Variant.objects.bulk_create([Variant(experiment=one, key=key) for one in trials for key in ("A", "B")])
    CampaignVersion.objects.bulk_create(
        [
            CampaignVersion(
                campaign=campaign,
                number=number,
                snapshot=snapshot,
                digest="0" * 64,
                launched_at=datetime.now(UTC) if number < 10 else None,
                launch_at=datetime.now(UTC) + timedelta(hours=number),
            )
            for campaign in made
            for number in range(1, 11)
        ],
        batch_size=1_000,
    )
    return made


def _runs(
    rng: random.Random,
    application: Application,
    category: Category,
    campaigns: list[Campaign],
    snapshot: object,
    asked: Asked,
) -> None:
    now = datetime.now(UTC)
    runs = Run.objects.bulk_create(
        [
            Run(
                application=application,
                origin=f"campaign:{campaigns[number % len(campaigns)].uid}:v{1 + number % 10}",
                title=f"Campaign {number % len(campaigns)}",
                kind=Run.Kind.AUDIENCE,
                lane=("bulk", "normal", "high", "critical")[number % 4],
                state=Run.State.RUNNING if number < 5 else Run.State.DONE,
                snapshot=snapshot,
                category=category,
                created_at=now - timedelta(minutes=10 * number),
                started_at=now - timedelta(minutes=10 * number),
            )
            for number in range(asked.runs)
        ],
        batch_size=500,
    )
    # the newest run told everybody, the others a few pages each
    sizes = [
        (run, max(4, asked.subscribers // 1_000) if number == 0 else 4) for number, run in enumerate(runs)
    ]
    page = Page(
        application=application,
        lane="bulk",
        kind=Page.Kind.SHARD,
        state=WorkState.DONE,
        audience=1_000,
        stopped=30,
        logged=970,
        messages=1_000,
        no_device=10,
    )
    stopped = json.dumps({"no_consent": 20, "category_off": 10})
    spread = json.dumps(
        {
            "locale": {f"|{name}": 120 for name in LOCALES},
            "platform": {f"|{name}": 247 for name, _ in PLATFORMS},
        }
    )
    first = fill(
        page,
        ("run", "due_at", "created_at", "closed_at", "reasons", "spread"),
        (
            (run.pk, at, at, at, stopped, spread)
            for run, pages in sizes
            for at in [run.created_at.timestamp()]
            for _ in range(pages)
        ),
    )
    parcels = Parcel(
        application=application,
        lane="bulk",
        state=WorkState.DONE,
        size=330,
        sent=320,
        failed=10,
    )
    failed = json.dumps({"unregistered": 8, "bad_device_token": 2})
    platforms = json.dumps({"android": {"sent": 320, "failed": 10}})
    keys = itertools.count(first)
    fill(
        parcels,
        ("run", "page", "provider", "due_at", "created_at", "closed_at", "reasons", "platforms"),
        (
            (run.pk, key, provider, at, at, at, failed, platforms)
            for run, pages in sizes
            for at in [run.created_at.timestamp()]
            for key in itertools.islice(keys, pages)
            for provider in ("fcm", "apns", "socket")
        ),
    )
    fill(
        Tally(people=40, devices=50),
        ("run", "kind", "dimension", "value"),
        (
            (run.pk, kind, dimension, value)
            for run, _ in sizes
            for kind in KINDS
            for dimension, values in (
                ("platform", [name for name, _ in PLATFORMS]),
                ("locale", LOCALES[:4]),
                (
                    "hour",
                    [str(int(time.time() // 3600) - back) for back in range(HOURS if run is runs[0] else 6)],
                ),
            )
            for value in values
        ),
    )
    last = runs[-1]
    work = {"run": last, "application": application, "lane": "bulk", "state": WorkState.DEAD, "due_at": 0}
    dead = Page.objects.create(kind=Page.Kind.SHARD, error="claimed 20 times", created_at=0, **work)
    Parcel.objects.create(page=dead, provider="fcm", size=1, error="claimed 20 times", created_at=0, **work)
    fill(
        Stopped(run=runs[0], page_id=first, reason="no_consent"),
        ("subscriber_id", "detail"),
        ((number, "{}") for number in range(1, min(30_000, asked.subscribers))),
    )


def _events(application: Application, campaigns: list[Campaign]) -> None:
    types = EventType.objects.bulk_create(
        [EventType(application=application, name=f"com.example.type.{number}") for number in range(50)]
    )
    rules = Rule.objects.bulk_create(
        [
            Rule(
                application=application,
                event_type=types[number % 50],
                name=f"Rule {number}",
                campaign=campaigns[number % len(campaigns)],
            )
            for number in range(100)
        ]
    )
    now = time.time()
    events = Event.objects.bulk_create(
        [
            Event(
                application=application,
                source="/shop",
                event_id=str(number),
                type=types[number % 50].name,
                subject=f"person-{number:07}",
                time=datetime.now(UTC),
                data={"order": number},
                digest="0" * 64,
                sender="keys",
                lane="normal",
                received_at=now - number,
                decided=True,
            )
            for number in range(EVENTS)
        ],
        batch_size=1_000,
    )
    Decision.objects.bulk_create(
        [
            Decision(
                event=event, rule=rules[number % 100], forwarded=True, reason="forwarded", decided_at=now
            )
            for number, event in enumerate(events)
        ],
        batch_size=1_000,
    )
    Schedule.objects.bulk_create(
        [
            Schedule(
                application=application,
                name=f"Schedule {number}",
                event_type=types[0],
                crontab="0 9 * * *",
                due_at=datetime.now(UTC) + timedelta(hours=number),
            )
            for number in range(50)
        ]
    )


def _rest(application: Application) -> None:
    ApiKey.objects.create(
        application=application,
        name="Key",
        prefix="large",
        digest="1" * 64,
        scopes=["runs:read"],
        lanes=["bulk"],
    )
    Credential.objects.create(application=application, provider="apns", secret={}, fingerprint="0f")
    Gate.objects.create(application=application, provider="fcm", state=Gate.State.SHUT, reason="refused")
    AlertRule.objects.create(application=application, name="Us", emails="ada@example.com")
    Incident.objects.bulk_create(
        [
            Incident(
                application=application,
                kind="lane_late",
                key=str(number),
                sentence="The lane bulk is over its objective.",
                resolved_at=datetime.now(UTC) if number else None,
            )
            for number in range(500)
        ]
    )
