"""One of everything the admin shows, in one application, for the tests of its pages."""

import time
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from campaigns.models import (
    Campaign,
    CampaignVersion,
    Decision,
    Event,
    EventType,
    Experiment,
    Rule,
    Schedule,
    TestDevice,
    Variant,
)
from delivery.models import (
    AlertNote,
    AlertRule,
    Credential,
    Gate,
    Hold,
    Incident,
    Page,
    Parcel,
    Run,
    WorkState,
)
from delivery.snapshot import Snapshot, Text, to_json
from devices.models import (
    ApiKey,
    Application,
    AuditEntry,
    Category,
    Device,
    Import,
    Membership,
    Preference,
    Role,
    Segment,
    SigningKey,
    Subscriber,
)


@dataclass(frozen=True)
class World:
    """An application's objects; `secrets` are texts that no page may ever hold."""

    application: Application
    rows: list[Any]
    secrets: list[str]

    def of(self, model: type[Any]) -> Any:
        """Return the world's object of a model."""
        return next(row for row in self.rows if type(row) is model)


def member(name: str, application: Application, role: Role) -> User:
    """Return a member of the staff with a role in one application."""
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(user=user, application=application, role=role)
    return user


def build(mark: str) -> World:
    """Make one of everything; `mark` stands in every name and text, so that a leak shows."""
    application = Application.objects.create(name=f"{mark} app", slug=mark.lower())
    owner = member(f"{mark}-owner", application, Role.ADMINISTRATOR)
    secrets = [
        f"{mark}-device-token-0123456789",
        f"{mark}-jwk-secret",
        f"{mark}-pem-secret",
        f"{mark}-digest",
    ]
    now = time.time()
    key = ApiKey.objects.create(
        application=application,
        name=f"{mark} key",
        prefix=mark[:8].lower(),
        digest=secrets[3],
        scopes=["runs:read"],
        lanes=["bulk"],
    )
    signing = SigningKey.objects.create(
        application=application, kid=f"{mark}-kid", jwk={"kty": "oct", "k": secrets[1]}
    )
    person = Subscriber.objects.create(
        application=application, external_id=f"{mark}-person", attributes={"plan": mark}
    )
    device = Device.objects.create(
        application=application, subscriber=person, platform="android", provider="fcm", token=secrets[0]
    )
    category = Category.objects.create(
        application=application, key=f"{mark.lower()}-news", name=f"{mark} news"
    )
    Preference.objects.create(subscriber=person, category=category, allowed=True)
    segment = Segment.objects.create(
        application=application, name=f"{mark} segment", predicate={"locale": "de"}
    )
    snapshot = Snapshot(texts={"en": Text(title=f"{mark} title", body=f"{mark} body")})
    run = Run.objects.create(
        application=application,
        origin=f"{mark}-origin",
        title=f"{mark} run",
        kind=Run.Kind.AUDIENCE,
        lane="bulk",
        state=Run.State.RUNNING,
        snapshot=to_json(snapshot),
    )
    work = {
        "run": run,
        "application": application,
        "lane": "bulk",
        "state": WorkState.DEAD,
        "due_at": now,
        "created_at": now,
    }
    page = Page.objects.create(kind=Page.Kind.SHARD, error=f"{mark} error", **work)
    parcel = Parcel.objects.create(page=page, provider="fcm", size=1, error=f"{mark} error", **work)
    credential = Credential.objects.create(
        application=application,
        provider="apns",
        secret={"private_key": secrets[2], "key_id": "AB12CD34EF", "team_id": "AB12CD34EG"},
        settings={"topic": f"com.{mark.lower()}.app"},
        fingerprint=f"{mark.lower()}0f",
    )
    gate = Gate.objects.create(
        application=application, provider="fcm", state=Gate.State.SHUT, reason=f"{mark} reason"
    )
    hold = Hold.objects.create(
        application=application, lane="normal", reason=f"{mark} hold", by=owner.username
    )
    campaign = Campaign.objects.create(
        application=application,
        name=f"{mark} campaign",
        title=f"{mark} title",
        body="Hello",
        segment=segment,
        category=category,
    )
    CampaignVersion.objects.create(campaign=campaign, number=1, snapshot=to_json(snapshot), digest="0" * 64)
    event_type = EventType.objects.create(application=application, name=f"com.{mark.lower()}.ordered")
    rule = Rule.objects.create(
        application=application, event_type=event_type, name=f"{mark} rule", campaign=campaign
    )
    event = Event.objects.create(
        application=application,
        source=f"/{mark}",
        event_id=f"{mark}-1",
        type=event_type.name,
        subject=person.external_id,
        time=timezone.now(),
        data={"of": mark},
        digest=secrets[3],
        sender="keys",
        lane="normal",
        received_at=now,
    )
    Decision.objects.create(
        event=event, rule=rule, forwarded=True, reason="forwarded", run=run.uid, decided_at=now
    )
    source = Import.objects.create(application=application, file_name=f"{mark}.csv", state="done")
    schedule = Schedule.objects.create(
        application=application, name=f"{mark} schedule", event_type=event_type, crontab="0 9 * * *"
    )
    experiment = Experiment.objects.create(application=application, campaign=campaign, goal=event_type)
    Variant.objects.create(experiment=experiment, key="A")
    Variant.objects.create(experiment=experiment, key="B", title=f"{mark} title")
    tested = TestDevice.objects.create(application=application, name=f"{mark} phone", device=device)
    alert_rule = AlertRule.objects.create(
        application=application,
        name=f"{mark} alerts",
        way=AlertRule.Way.WEBHOOK,
        url=f"https://{mark.lower()}.example/hook",
        secret=f"whsec_{mark}Secret00",
    )
    incident = Incident.objects.create(
        application=application, kind="gate_shut", key="fcm", sentence=f"{mark} gate is shut"
    )
    AlertNote.objects.create(
        rule=alert_rule, incident=incident, says="opened", due_at=now, state="sent", error=f"{mark} error"
    )
    secrets.append(alert_rule.secret)
    membership = Membership.objects.get(user=owner)
    rows = [application, membership, key, signing, person, device, category, segment, run, page, parcel]
    rows += [credential, gate, hold, campaign, event_type, rule, event, schedule, tested]
    entry = AuditEntry.objects.create(
        application=application,
        actor=f"user:{mark}-owner",
        origin=AuditEntry.Origin.ADMIN,
        action="change",
        model="devices.segment",
        object_key=str(segment.pk),
        object_name=f"{mark} segment",
        changes={"name": ["", f"{mark} segment"]},
    )
    rows += [alert_rule, incident, experiment, source, entry]
    return World(application, rows, secrets)
