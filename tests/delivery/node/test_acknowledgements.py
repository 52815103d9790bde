"""What devices have stored, written many at a time."""

import asyncio
import time
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from delivery import positions
from delivery.log.store import NewReceipt
from delivery.node import acknowledgements
from delivery.node.acknowledgements import Acknowledgements, write_cursors
from devices.models import Application, Device, Platform, Provider, Subscriber


@pytest.fixture
def devices(db: None) -> list[Device]:
    application = Application.objects.create(slug="a", name="A")
    subscriber = Subscriber.objects.create(application=application, external_id="ada")
    return [
        Device.objects.create(
            application=application, subscriber=subscriber, provider=Provider.SOCKET, platform=Platform.WEB
        )
        for _ in range(3)
    ]


def mark(age: float) -> bytes:
    return positions.position(time.time() - age, uuid.uuid4().bytes)


def test_each_device_gets_its_own_cursor_in_one_statement(devices: list[Device]) -> None:
    now = time.time()
    marks = {device.uid: mark(60.0 + at) for at, device in enumerate(devices[:2])}
    with CaptureQueriesContext(
        connection,
    ) as queries:
        write_cursors(marks, now)
    assert len(queries) == 1
    found = dict(Device.objects.values_list("uid", "acknowledged"))
    assert {uid: positions.decode(found[uid]) for uid in marks} == marks
    assert found[devices[2].uid] == ""


def test_a_durable_cursor_stays_out_of_the_window_in_which_entries_may_still_appear(
    devices: list[Device],
) -> None:
    now = time.time()
    write_cursors({devices[0].uid: mark(0.0)}, now)
    devices[0].refresh_from_db()
    assert positions.stamp_of(positions.decode(devices[0].acknowledged)) <= now - positions.COMMIT_WINDOW


class Store:
    """Takes receipts, unless it is away."""

    def __init__(self) -> None:
        self.away = 0
        self.rows: list[NewReceipt] = []
        self.writes = 0

    def write_receipts(self, rows: list[NewReceipt]) -> None:
        if self.away:
            self.away -= 1
            raise OSError("away")
        self.writes += 1
        self.rows += rows


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr(acknowledgements, "store", made.write_receipts)
    monkeypatch.setattr(acknowledgements, "SHORTEST", 0.0)
    monkeypatch.setattr(acknowledgements, "LONGEST", 0.0)
    monkeypatch.setattr(acknowledgements, "CURSOR_SECONDS", -1.0)
    monkeypatch.setattr(acknowledgements, "write_cursors", lambda marks, now: None)
    monkeypatch.setattr(acknowledgements.atexit, "register", lambda work: None)
    return made


async def written(buffer: Acknowledgements) -> None:
    while buffer._task is not None:
        await buffer._task


def add(buffer: Acknowledgements, count: int) -> list[uuid.UUID]:
    ids = [uuid.uuid4() for _ in range(count)]
    for one in ids:
        buffer.add(subscriber=uuid.uuid4(), device=uuid.uuid4(), ids=[one.bytes], mark=mark(0.0))
    return ids


def test_acknowledgements_that_come_together_are_one_write(store: Store) -> None:
    async def course() -> list[uuid.UUID]:
        buffer = Acknowledgements()
        ids = add(buffer, 50)
        await written(buffer)
        return ids

    ids = asyncio.run(course())
    assert [uuid.UUID(bytes=row.notification) for row in store.rows] == ids
    assert {row.kind for row in store.rows} == {"acknowledged"}
    assert store.writes == 1


def test_a_log_that_is_away_gets_them_when_it_is_back(store: Store) -> None:
    store.away = 2

    async def course() -> list[uuid.UUID]:
        buffer = Acknowledgements()
        ids = add(buffer, 2)
        await written(buffer)
        return ids

    ids = asyncio.run(course())
    assert [uuid.UUID(bytes=row.notification) for row in store.rows] == ids


def test_what_waits_for_a_log_that_is_away_is_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(acknowledgements, "KEPT", 3)
    store.away = 1

    async def course() -> list[uuid.UUID]:
        buffer = Acknowledgements()
        ids = add(buffer, 5)
        await written(buffer)
        return ids

    ids = asyncio.run(course())
    assert [uuid.UUID(bytes=row.notification) for row in store.rows] == ids[-3:]
