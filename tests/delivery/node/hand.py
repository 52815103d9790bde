"""Does on a site what workers and the API do, as it is told: a line of JSON in, a line out."""

import json
import os
import sys
import time
import traceback
import uuid
from types import SimpleNamespace
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")

import django

import notifyhub  # noqa: F401  (prepares imports that apns2 needs)

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from delivery import (  # noqa: E402
    device_messages,
    holds,
    positions,
    presence,
    receipts,
    runs,
    sockets,
)
from delivery.content import Content  # noqa: E402
from delivery.log import body as bodies  # noqa: E402
from delivery.log.store import NewEntry, log_store  # noqa: E402
from delivery.models import Parcel, Run  # noqa: E402
from delivery.node import tickets  # noqa: E402
from delivery.outgoing import Outgoing, Target  # noqa: E402
from delivery.snapshot import Snapshot, Text, to_json  # noqa: E402
from devices import closing, registration, tokens  # noqa: E402
from devices.models import Application, Device, Platform, Provider, SigningKey, Subscriber  # noqa: E402

RUN = uuid.uuid4()


class Hand:
    """Each method is a verb."""

    def __init__(self) -> None:
        self._known: dict[str, Device] = {}
        self._parcels = 0

    def devices(self, *, count: int, seconds: int = 3600, of: str = "", origins: Any = None) -> Any:
        """Make devices, each of a new subscriber or all of the subscriber `of`; with `origins` of a new application."""
        slug = "site" if origins is None else f"site-{uuid.uuid4()}"
        application, _ = Application.objects.get_or_create(
            slug=slug, defaults={"name": "Site", "origins": origins or []}
        )
        names = [of or f"s-{uuid.uuid4()}" for _ in range(count)]
        if of:
            Subscriber.objects.get_or_create(application=application, external_id=of)
        else:
            Subscriber.objects.bulk_create(
                Subscriber(application=application, external_id=name) for name in names
            )
        people = {
            one.external_id: one
            for one in Subscriber.objects.filter(application=application, external_id__in=names)
        }
        made = Device.objects.bulk_create(
            Device(
                application=application,
                subscriber=people[name],
                provider=Provider.SOCKET,
                platform=Platform.WEB,
            )
            for name in names
        )
        key: SigningKey = tokens.signing_key(application)
        self._known |= {str(device.uid): device for device in made}
        return [
            {
                "uid": str(device.uid),
                "subscriber": device.subscriber.external_id,
                "token": tokens.mint(device.subscriber, device, seconds=seconds, key=key),
            }
            for device in made
        ]

    def tell(
        self,
        *,
        devices: list[str],
        title: str,
        lane: str = "high",
        live: bool = True,
        body: str = "",
        late: float = 0.0,
    ) -> Any:
        """Log an entry for each device's subscriber, then hand it to the nodes; `late` seconds after its stamp."""
        stamp = time.time() - late
        outgoing = Outgoing(stamp=stamp)
        content = Content(title=title, body=body, data={"sent": repr(time.time())})
        entries = []
        for uid in devices:
            device = self._known[uid]
            notification = uuid.uuid4()
            written = bodies.encode(bodies.Body(content=content, category="", sent_at=int(stamp * 1000)))
            entries.append(NewEntry(device.subscriber.uid.bytes, notification.bytes, written))
            target = Target(
                device.pk,
                device.uid.bytes,
                device.subscriber_id,
                device.subscriber.uid.bytes,
                notification.bytes,
                "",
                False,
                "web",
                0,
                None,
            )
            outgoing.add(target, content)
        log_store().append(entries, run=RUN, stamp=stamp)
        outcomes: list[Any] = []
        if live:
            self._parcels += 1
            run = SimpleNamespace(uid=RUN, category=None)
            parcel = SimpleNamespace(pk=self._parcels, fence=1, run=run, lane=lane)
            outcomes = sockets.send(cast(Parcel, parcel), outgoing)
        return {"ids": [str(uuid.UUID(bytes=entry.notification)) for entry in entries], "outcomes": outcomes}

    def receipts(self, *, device: str, ids: list[str]) -> Any:
        """Return the kinds of receipts there are for notifications of a device's subscriber, in order of their ids."""
        subscriber = self._known[device].subscriber.uid
        rows = log_store().receipts(subscriber, [uuid.UUID(one) for one in ids])
        return sorted([str(row.notification), str(row.device), row.kind] for row in rows)

    def receipt(self, *, device: str, ids: list[str], kind: str) -> Any:
        """Record a receipt as the API does."""
        one = self._known[device]
        return receipts.record(one.subscriber.uid, one.uid, [uuid.UUID(item) for item in ids], kind)

    def revoke(self, *, device: str) -> None:
        """Revoke the tokens of a device's subscriber, as the API does."""
        now = timezone.now()
        with transaction.atomic():
            closing.close_subscriber(self._known[device].subscriber.uid, before=now)
            Subscriber.objects.filter(pk=self._known[device].subscriber_id).update(revoked_before=now)

    def retire_key(self) -> None:
        """Retire the key that the devices' tokens are signed with; the next ones get another."""
        key = tokens.signing_key(Application.objects.get(slug="site"))
        with transaction.atomic():
            closing.close_keys([key.pk])
            SigningKey.objects.filter(pk=key.pk).update(retired_at=timezone.now())

    def retire(self, *, device: str) -> None:
        """Retire a device."""
        registration.retire(self._known[device], Device.Retired.REMOVED)

    def close(self, *, devices: list[str], others: int = 0) -> None:
        """Note that the lines of devices must end, after those of so many that are not here."""
        closing.close_devices([*(uuid.uuid4() for _ in range(others)), *(uuid.UUID(one) for one in devices)])

    def say(self, *, device: str, to: list[str], data: Any) -> list[bool]:
        """Say something from a device to others."""
        return device_messages.send(uuid.UUID(device), [uuid.UUID(one) for one in to], data)

    def say_too_much(self, *, device: str) -> int:
        """Say things until it is too much; return how many were taken."""
        said = 0
        try:
            while True:
                self.say(device=device, to=[], data=said)
                said += 1
        except device_messages.TooManyError:
            return said

    def ticket(self, *, token: str) -> str:
        """Return a ticket for a token."""
        return tickets.issue(token)

    def run(self) -> int:
        """Make a run that is running; return its primary key."""
        application, _ = Application.objects.get_or_create(slug="site", defaults={"name": "Site"})
        snapshot = Snapshot(texts={"en": Text(title="Told", body="")})
        made = Run.objects.create(
            application=application,
            origin="campaign:x:v1",
            title="Told",
            kind=Run.Kind.AUDIENCE,
            lane="bulk",
            state=Run.State.RUNNING,
            snapshot=to_json(snapshot),
        )
        return int(made.pk)

    def viewer(self) -> str:
        """Return the cookie of somebody who may see every run."""
        user = User.objects.create_superuser(f"u-{uuid.uuid4()}")
        client = Client()
        client.force_login(user)
        return str(client.cookies[settings.SESSION_COOKIE_NAME].OutputString())

    def act(self, *, run: int, action: str) -> None:
        """Pause, resume, cancel or recall a run."""
        getattr(runs, action)(Run.objects.get(pk=run))

    def stop(self) -> None:
        """Stop all of the application."""
        holds.stop(Application.objects.get(slug="site"), reason="a fault")

    def nodes(self) -> Any:
        """Return the figures of the live nodes."""
        return presence.read_figures()

    def online(self, *, devices: list[str]) -> Any:
        """Return how many nodes hold each device."""
        return [len(nodes) for nodes in presence.where([uuid.UUID(one).bytes for one in devices])]

    def cursors(self, *, devices: list[str]) -> Any:
        """Return the instants that the durable cursors of devices stand for; 0 for none."""
        found = dict(Device.objects.filter(uid__in=devices).values_list("uid", "acknowledged"))
        return [
            positions.stamp_of(positions.decode(found[uuid.UUID(one)])) if found[uuid.UUID(one)] else 0.0
            for one in devices
        ]


def main() -> None:
    """Obey until the input ends."""
    hand = Hand()
    for line in sys.stdin:
        given = json.loads(line)
        try:
            answer = {"done": getattr(hand, given.pop("verb"))(**given)}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
