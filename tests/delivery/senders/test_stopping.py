"""How soon a stop acts on a parcel that is on its way to a slow provider: measured at the provider."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from delivery import holds, presence, pushing, runs
from delivery.draining import plan_one, send_one
from delivery.models import Run
from delivery.senders.contract import Credential
from delivery.senders.fcm.sender import FcmSender
from delivery.senders.tokens import MemoryTokenStore, SharedTokens
from fleet.client import Fleet
from tests.delivery import world

pytestmark = pytest.mark.django_db(databases=["default", "log"], transaction=True)
PEOPLE, STREAMS, LATENCY_MS = 500, 10, 100
"""A parcel that takes five seconds."""


def stop_all(run: Run) -> None:
    holds.stop(run.application)


@pytest.mark.parametrize("stop", [runs.pause, runs.cancel, runs.recall, stop_all])
def test_a_stop_acts_on_a_parcel_on_its_way_within_two_seconds(
    fleet: Fleet,
    fcm_credential: Credential,
    fcm_tokens: Callable[[int], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    stop: Callable[[Run], None],
    capsys: Any,
) -> None:
    monkeypatch.setattr(presence, "recall", lambda application, run: None)
    sender = FcmSender(SharedTokens(MemoryTokenStore()), streams=STREAMS)
    monkeypatch.setattr(pushing, "sender_for", lambda name: sender)
    monkeypatch.setattr(pushing, "credential_for", lambda app, name: fcm_credential)
    app = world.application()
    for number, token in enumerate(fcm_tokens(PEOPLE)):
        world.device(world.subscriber(app, f"s{number}"), token=token)
    run = world.launch(app)
    plan_one("normal")
    fleet.set_faults("fcm", latency_ms=LATENCY_MS)

    def send() -> None:
        send_one("fcm", "normal")
        connection.close()

    def arrived() -> int:
        count: int = fleet.arrived(run=str(run.uid))["fcm"]["accepted"]
        return count

    sending = threading.Thread(target=send)
    sending.start()
    while arrived() < STREAMS:
        time.sleep(0.02)
    stop(run)
    stopped_at = time.monotonic()
    last, changed_at = arrived(), stopped_at
    while sending.is_alive():
        if (now := arrived()) != last:
            last, changed_at = now, time.monotonic()
        time.sleep(0.02)
    sending.join()
    took = changed_at - stopped_at
    with capsys.disabled():
        print(f"\n{stop.__name__}: the last message started {took:.2f} s after, {last} of {PEOPLE} sent")
    assert took < 2.0 and last < PEOPLE
    progress = runs.progress(run)
    assert progress.outcomes["sent"] == last == arrived() and progress.balanced
