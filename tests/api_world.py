"""Applications with one of everything and callers of the API, for the tests of the API."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.test import Client as Browser

from campaigns.models import Campaign, EventType, Rule, Schedule
from delivery import runs
from delivery.credential_input import new_vapid_key
from delivery.models import Credential, Run
from delivery.snapshot import Snapshot, Text
from devices import keys, tokens
from devices.models import Application, Category, Device, Segment, Subscriber

EVENT = "com.example.order.shipped"
CLIENT_EVENT = "com.example.screen.opened"


class Caller:
    """Somebody who calls the API with one API key or subscriber token, or none."""

    # one for all: a new one loads the middleware, which looks through every static file
    _browser = Browser(raise_request_exception=False)

    def __init__(self, secret: str = "") -> None:
        self.secret = secret

    def __call__(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **more: str
    ) -> Any:
        """Return the answer to a request to `/api/v1/<path>`; `body` is JSON values, or bytes as they are."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        if self.secret:
            headers["authorization"] = f"Bearer {self.secret}"
        return self._browser.generic(
            method.upper(), f"/api/v1/{path}", content, content_type=kind if content else "", headers=headers
        )


@dataclass
class World:
    """An application with one of everything, and a caller who may do everything in it."""

    application: Application
    service: Caller
    subscriber: Subscriber
    device: Device
    segment: Segment
    category: Category
    event_type: EventType
    client_event: EventType
    campaign: Campaign
    rule: Rule
    schedule: Schedule
    run: Run
    credential: Credential

    def caller(
        self, *scopes: str, lanes: tuple[str, ...] = ("critical", "high", "normal", "bulk"), **more: Any
    ) -> Caller:
        """Return a caller with a new key."""
        return Caller(keys.mint(self.application, name="test", scopes=scopes, lanes=lanes, **more)[1])

    def app(self, device: Device | UUID | None = None) -> Caller:
        """Return the subscriber's app as a caller."""
        return Caller(tokens.mint(self.subscriber, device or self.device))


def make_world(slug: str) -> World:
    """Make an application with one of everything; names in it end in the slug."""
    application = Application.objects.create(name=slug.title(), slug=slug)
    subscriber = Subscriber.objects.create(
        application=application, external_id=f"ada-{slug}", locale="de", attributes={"plan": "pro"}
    )
    device = Device.objects.create(
        application=application, subscriber=subscriber, platform="web", provider="socket", uid=uuid4()
    )
    segment = Segment.objects.create(
        application=application, name=f"pros-{slug}", predicate={"attribute": "plan", "is": "pro"}
    )
    category = Category.objects.create(application=application, key=f"news-{slug}", name=f"News {slug}")
    event_type = EventType.objects.create(
        application=application, name=EVENT, lane="high", senders=["keys", "clock"]
    )
    client_event = EventType.objects.create(application=application, name=CLIENT_EVENT, senders=["clients"])
    campaign = Campaign.objects.create(
        application=application, name=f"spring-{slug}", title="Hello", segment=segment, category=category
    )
    rule = Rule.objects.create(
        application=application, event_type=event_type, name=f"rule-{slug}", campaign=campaign
    )
    schedule = Schedule.objects.create(
        application=application, event_type=event_type, name=f"daily-{slug}", crontab="0 9 * * *"
    )
    run = runs.launch(
        application=application,
        origin=f"campaign:{campaign.uid}:v1",
        title=f"spring-{slug}",
        lane="bulk",
        snapshot=Snapshot(texts={"en": Text(title="Hello")}),
    )
    credential = Credential.objects.create(
        application=application,
        provider="webpush",
        secret={"private_key": new_vapid_key()},
        settings={"subject": f"mailto:push@{slug}.example"},
        fingerprint=f"print-{slug}",
    )
    service = Caller(keys.mint(application, name="all", scopes=keys.SCOPES)[1])
    return World(
        application=application,
        service=service,
        subscriber=subscriber,
        device=device,
        segment=segment,
        category=category,
        event_type=event_type,
        client_event=client_event,
        campaign=campaign,
        rule=rule,
        schedule=schedule,
        run=run,
        credential=credential,
    )


def event(**fields: Any) -> dict[str, Any]:
    """Return a valid event of a type that keys may send."""
    return {"specversion": "1.0", "id": "1", "source": "/shop", "type": EVENT, "data": {"order": 7}, **fields}
