"""Dramas with a real hub: workers are put to sleep in the middle of a campaign, while devices read."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psutil
from django.conf import settings
from django.db.models import F, Sum

from delivery import runs
from delivery.models import Page, Parcel, Run
from devices import tokens
from devices.models import Device, Provider, Subscriber
from fleet.client import Fleet
from notifyhub import parts
from notifyhub.demo import hub, report, show, stage, watch

SLEEP_SECONDS = 60.0
MOST_SOCKETS = 300
"""So many of the devices hold a WebSocket; the others find what they were told in the log."""
PATIENCE = 240.0
"""Seconds after which a hub that is not ready is given up."""


class Theatre:
    """A running hub and fleet with the demo's people."""

    def __init__(self, process: subprocess.Popen[bytes], fleet: Fleet, set_up: stage.Stage) -> None:
        self.process, self.fleet, self.set_up = process, fleet, set_up
        self.api = hub.Api(set_up.api_key)

    def worker(self, role: str) -> psutil.Process:
        """Return the process of a part by its role."""
        while True:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                try:
                    if child.environ().get("NOTIFYHUB_ROLE") == role and child.ppid() == self.process.pid:
                        return child
                except psutil.NoSuchProcess:
                    continue

    def launch(self) -> Run:
        """Launch the sample campaign to everybody."""
        campaign = self.api.post("campaigns", {"name": f"Drama {time.time()}", **stage.CAMPAIGN})
        return Run.objects.get(uid=self.api.post(f"campaigns/{campaign['id']}/launch", {})["run"])

    def outcome(self, run: Run) -> dict[str, Any]:
        """Return the run's sums, every fault that independent counts show, and what phones saw twice."""
        counts = self.fleet.arrived(run=str(run.uid))
        phones = list(
            Device.objects.filter(application=self.set_up.application)
            .exclude(token="")
            .values_list("token", flat=True)
        )
        progress = runs.progress(run)
        sockets = Parcel.objects.filter(run=run, provider=Provider.SOCKET)
        stored = sockets.aggregate(Sum("stored"))["stored__sum"] or 0
        taken_over = Parcel.objects.filter(run=run, fence__gt=1)
        in_flight = taken_over.aggregate(sum=Sum(F("size") * (F("fence") - 1)))
        return {
            "faults": report.differences(run, self.fleet, late=stored),
            "audience": progress.audience,
            "people": Subscriber.objects.filter(application=self.set_up.application).count(),
            "outcomes": progress.outcomes,
            "stopped": progress.stopped,
            "repeats": sum(counts[name]["repeats"] for name in ("fcm", "apns")),
            "two_notices": sum(self._two_notices(run, some) for some in _in_parts(phones, 5_000)),
            "in_flight": in_flight["sum"] or 0,
        }

    def _two_notices(self, run: Run, phones: list[str]) -> int:
        """Count the phones on which a run left more than one notice."""
        shown = self.fleet.arrived_for(phones, run=str(run.uid))
        return sum(1 for rows in shown.values() if _notices(rows) > 1)


def _in_parts(items: list[str], most: int) -> Iterator[list[str]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _notices(rows: list[dict[str, Any]]) -> int:
    """Count the notices that a phone's arrivals left on its screen: without a display identity each call leaves one."""
    return sum(1 if row["screen"]["identity"] else row["times"] for row in rows if row["screen"] is not None)


@contextmanager
def theatre(subscribers: int) -> Iterator[Theatre]:
    """Run a hub and a fleet with so many people, up to `MOST_SOCKETS` of their devices connected."""
    log = settings.DATA_DIR / "hub.log"
    with hub.running(log) as process, Fleet.start(settings.FLEET_FILE.parent) as fleet:
        set_up = stage.build(fleet, subscribers=subscribers)
        set_up = replace(set_up, sockets=set_up.sockets[:MOST_SOCKETS])
        hub.wait_until_ready(process, log, within=PATIENCE)
        show.open_sockets(fleet, set_up, within=PATIENCE)
        yield Theatre(process, fleet, set_up)


def _stop_within_a_page(scene: Theatre, run: Run) -> tuple[psutil.Process, Page]:
    """Stop the worker while it holds a page: after the claim, before the commit."""
    worker = scene.worker(parts.REST)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if Page.objects.filter(run=run, state="claimed").exists():
            worker.suspend()
            held = Page.objects.filter(run=run, state="claimed").select_related("shard").first()
            if held is not None:
                return worker, held
            worker.resume()
    raise TimeoutError("the worker was never caught with a page in its hands")


class Reader:
    """A device that pulls its inbox with a cursor, and keeps what it got."""

    def __init__(self, subscriber: Subscriber) -> None:
        device = Device.objects.create(
            application=subscriber.application, subscriber=subscriber, platform="web", provider="socket"
        )
        self._bearer = tokens.mint(subscriber, device, seconds=3_600)
        self.cursor, self.got = "", dict[str, str]()

    def read(self) -> None:
        """Read on from the cursor, as often as there is more."""
        after = self.cursor
        while True:
            page = self._get(f"inbox/?after={quote(after)}")
            self.got.update({entry["id"]: entry["run"] for entry in page["entries"]})
            if page["next"] is None:
                self.cursor = page["cursor"]
                return
            after = page["next"]

    def _get(self, path: str) -> Any:
        request = hub.Request(
            f"{hub.address()}/api/v1/{path}", headers={"Authorization": f"Bearer {self._bearer}"}
        )
        with hub._open(request, timeout=30) as response:
            return json.loads(response.read())


def _sleep(*, taken_over: bool) -> dict[str, Any]:
    with theatre(6_000) as scene:
        run = scene.launch()
        worker, page = _stop_within_a_page(scene, run)
        people = Subscriber.objects.filter(application=scene.set_up.application, consent=True)
        someone = people.filter(pk__gt=page.after).order_by("pk").first()
        assert someone is not None
        reader = Reader(someone)
        substitute = None
        if taken_over:
            [part] = parts.parts((parts.REST,))
            substitute = subprocess.Popen(
                part.command, cwd=settings.BASE_DIR, env={**os.environ, "NOTIFYHUB_ROLE": "substitute"}
            )
        asleep_until = time.monotonic() + SLEEP_SECONDS
        reads = 0
        while time.monotonic() < asleep_until:
            reader.read()
            reads += 1
            time.sleep(1)
        worker.resume()
        watch.until_complete(run, expected=6_000, within=120)
        if substitute is not None:
            substitute.terminate()
            substitute.wait(20)
        reader.read()
        page.refresh_from_db()
        return {
            "asleep_seconds": SLEEP_SECONDS,
            "reads": reads,
            "reader_has_it": str(run.uid) in reader.got.values(),
            "page_fence": page.fence,
            **scene.outcome(run),
        }


def sleep() -> dict[str, Any]:
    """Stop the only worker for a minute between claim and commit, while a device reads."""
    return _sleep(taken_over=False)


def usurped() -> dict[str, Any]:
    """The same, but another worker takes the page over meanwhile and the sleeper's commit comes too late."""
    return _sleep(taken_over=True)


DRAMAS = {"sleep": sleep, "usurped": usurped}
