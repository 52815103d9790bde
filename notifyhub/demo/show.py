"""The show: starts the hub and the fleet, sends one campaign and one critical event, and says where to look."""

import json
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.conf import settings

from delivery import runs
from delivery.models import Run
from devices.models import Subscriber
from fleet.client import Fleet, FleetError
from notifyhub import demo_page
from notifyhub.demo import hub, report, stage, watch

PATIENCE = 120.0
"""Seconds that the campaign may take before the demo gives up."""


class ShowError(Exception):
    """The demo came to another end than it should; says what differs."""


def tell(text: str = "") -> None:
    """Write a line for people; standard output is kept for the report."""
    print(text, file=sys.stderr, flush=True)


def play(*, subscribers: int, once: bool) -> str:
    """Run the demo and return its report, a line of JSON; unless `once`, only after Ctrl-C or SIGTERM.

    Raises `ShowError`, `hub.HubError`, `watch.WatchError` or `notifyhub.supervisor.StartError`.
    """
    try:
        return _play(subscribers=subscribers, once=once)
    except FleetError as error:
        raise ShowError(f"The fleet: {error}") from None


def _play(*, subscribers: int, once: bool) -> str:
    hub.check_free()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)
    log = settings.DATA_DIR / "hub.log"
    began = time.monotonic()
    with hub.running(log) as process, Fleet.start(settings.FLEET_FILE.parent) as fleet:
        set_up = stage.build(fleet, subscribers=subscribers)
        hub.wait_until_ready(process, log)
        tell(f"The hub is ready after {time.monotonic() - began:.1f} s.")
        open_sockets(fleet, set_up)
        api = hub.Api(set_up.api_key)
        run, seconds, progress = _campaign(api, set_up)
        event_ms, wrong = _event(api, fleet, set_up)
        if wrong := [*report.differences(run, fleet), *wrong]:
            raise ShowError("\n".join(wrong))
        line = report.line(progress, seconds=seconds, event_to_socket_ms=event_ms)
        if not once:
            tell(line)
            _say_where_to_look(set_up)
            _stay(process)
    return line


def open_sockets(fleet: Fleet, set_up: stage.Stage, *, within: float = 30.0) -> None:
    """Let the fleet's browsers, TVs and sticks connect, and wait until the hub has greeted each."""
    fleet.open_sockets(hub.address("ws") + "/ws/v1/", set_up.sockets)
    deadline = time.monotonic() + within
    while (state := fleet.sockets())["hello"] < len(set_up.sockets):
        if time.monotonic() > deadline:
            raise ShowError(f"Not every WebSocket was greeted: {json.dumps(state)} of {len(set_up.sockets)}.")
        time.sleep(0.05)


def _campaign(api: hub.Api, set_up: stage.Stage) -> tuple[Run, float, runs.Progress]:
    """Send the sample campaign through the REST API and watch it to its end."""
    name = f"Welcome, {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    audience = Subscriber.objects.filter(application=set_up.application).count()
    campaign = api.post("campaigns", {"name": name, **stage.CAMPAIGN})
    began = time.monotonic()
    launched = api.post(f"campaigns/{campaign['id']}/launch", {})
    run = Run.objects.get(uid=launched["run"])
    progress = watch.until_complete(run, expected=audience, within=PATIENCE)
    seconds = time.monotonic() - began
    if progress.audience != audience:
        raise ShowError(f"{audience} subscribers, but the campaign had an audience of {progress.audience}.")
    return run, seconds, progress


def _event(api: hub.Api, fleet: Fleet, set_up: stage.Stage) -> tuple[float, list[str]]:
    """Send the critical event; return the milliseconds from the request to the socket, and what differs."""
    external_id, device = set_up.caller
    standing = Run.objects.filter(application=set_up.application, kind=Run.Kind.STANDING)
    earlier = {each.uid: sum(watch.sent_by_provider(each).values()) for each in standing}
    before = {row["notification"] for row in fleet.arrived_for([device])[device]}
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/demo/door",
        "type": stage.DOOR_BELL,
        "subject": external_id,
        "datacontenttype": "application/json",
        "data": {"door": "front"},
    }
    sent_at = time.time()
    api.post("events", event, content_type="application/cloudevents+json")
    deadline = time.monotonic() + 30
    while True:
        new = [row for row in fleet.arrived_for([device])[device] if row["notification"] not in before]
        if new:
            break
        if time.monotonic() > deadline:
            raise ShowError(f"The critical event did not reach {external_id}'s device {device} within 30 s.")
        time.sleep(0.01)
    run = Run.objects.get(uid=new[0]["run"])
    watch.until_complete(run, expected=1, within=30)
    wrong = report.event_differences(
        run, fleet, notification=new[0]["notification"], earlier=earlier.get(run.uid, 0)
    )
    return new[0]["first_at"] - sent_at * 1000, wrong


def _say_where_to_look(set_up: stage.Stage) -> None:
    web = hub.address()
    tell(f"""
The hub runs. Look at
  {web}/admin/  the admin (administrator: admin; the password was printed when it was made,
      `manage.py changepassword admin` sets another)
  {web}{demo_page.page_path(set_up.viewer)}
      the page of the subscriber “{stage.VIEWER}”: leave it open, then launch a campaign in the admin
  {web}/api/v1/schema/  the API's schema; an API key stands in {settings.DATA_DIR / "demo_api_key"}
Its log is {settings.DATA_DIR / "hub.log"}. Ctrl-C stops it; ./run starts it again with the same data.""")


def _stay(process: Any) -> None:
    try:
        process.wait()
    except KeyboardInterrupt:
        tell("\nStopping.")
        return
    raise ShowError(f"The hub ended by itself; {settings.DATA_DIR / 'hub.log'} says why.")
