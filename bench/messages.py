"""What the baseline sends: a run's messages again, byte for byte as our senders make them but for run and ids."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from delivery import thinking
from delivery.content import Content
from delivery.credentials import credential_for
from delivery.models import Run
from delivery.positions import notification_id
from delivery.senders.apns import payload as apns_payload
from delivery.senders.apns.identity import apns_id
from delivery.senders.contract import Envelope
from delivery.senders.fcm import payload as fcm_payload
from delivery.senders.fcm.account import Account
from delivery.snapshot import Named
from devices import people
from devices.models import Provider, Subscriber
from devices.person import Person, Target

PAGE = 1_000


def write_plan(run: Run, folder: Path) -> Path:
    """Write what `bench/baselines/go/main.go` reads to send a run's FCM and APNs messages; return the plan's path.

    The messages carry an id of a run of their own (`baseline_run`), by which the fleet counts them.
    """
    baseline_run = str(uuid4())
    fcm, apns = (credential_for(run.application_id, provider) for provider in (Provider.FCM, Provider.APNS))
    account = Account(fcm)
    envelope = Envelope(
        run=baseline_run,
        lane=run.lane,
        expires_at=run.expires_at.timestamp() if run.expires_at else time.time() + 86_400,
        contents=[],
        messages=[],
    )
    fcm_file, apns_file = folder / "baseline-fcm.txt", folder / "baseline-apns.txt"
    with fcm_file.open("wb") as fcm_out, apns_file.open("wb") as apns_out:
        for person, device, content in _messages(run):
            notification = str(notification_id(UUID(baseline_run), UUID(bytes=person.uid), ""))
            if device.provider == Provider.FCM:
                template = fcm_payload.template(account, content, envelope)
                fcm_out.write(template(device.token, notification) + b"\n")
            elif device.provider == Provider.APNS:
                payload = apns_payload.template(content, envelope)(notification).decode()
                head = {
                    "token": device.token,
                    "id": apns_id(notification, device.id),
                    "collapse_id": notification,
                }
                apns_out.write(f'{json.dumps(head)[:-1]},"payload":{payload}}}\n'.encode())
    bearer, _ = account.mint()
    lines = (line.partition(":") for line in account.headers(bearer) if not line.startswith("Expect"))
    plan = {
        "baseline_run": baseline_run,
        "ca_file": fcm.ca_file,
        "fcm": {
            "endpoint": account.endpoint,
            "headers": {name: value.strip() for name, _, value in lines},
            "messages": str(fcm_file),
            "service_account": fcm.secret["service_account"],
        },
        "apns": {
            **apns.secret,
            "host": apns.base_url,
            "topic": apns.settings["topic"],
            "priority": 10 if envelope.urgent else 5,
            "expiration": int(envelope.expires_at or 0),
            "messages": str(apns_file),
        },
    }
    path = folder / "baseline.json"
    path.touch(0o600)
    path.write_text(json.dumps(plan))
    return path


def _messages(run: Run) -> Iterator[tuple[Person, Target, Content]]:
    """Yield everybody's devices with what each is told."""
    prepared = thinking.prepare(run)
    renderer = prepared.renderer
    for person in _everybody(run):
        variables = thinking.variables_of(person, Named(person.id), prepared.snapshot.variables)
        locale = renderer.locale(person.locale)
        for device in person.devices:
            yield person, device, renderer.render(locale, device.platform, variables)


def _everybody(run: Run) -> Iterator[Person]:
    last = Subscriber.objects.filter(application=run.application).latest("id").pk
    cursor = 0
    for _ in itertools.count():
        page = people.page_after(
            run.application_id, cursor=cursor, last=last, limit=PAGE, predicate=None, category_id=None
        )
        yield from page
        if len(page) < PAGE:
            return
        cursor = page[-1].id
