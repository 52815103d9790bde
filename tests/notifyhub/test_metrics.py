import threading
import time

import pytest
from django.db import OperationalError
from django.utils import timezone

from campaigns.models import Event, EventType
from delivery import ages, presence
from delivery.lanes import LANES
from delivery.models import Gate, Hold, Page, Parcel, Run
from devices.models import Application
from notifyhub import health


@pytest.fixture
def application(db):
    return Application.objects.create(name="Shop", slug="shop")


def test_figures_tell_what_waits_and_which_gates_are_shut(client, application):
    run = Run.objects.create(
        application=application,
        origin="x",
        title="x",
        kind="audience",
        lane="bulk",
        state="running",
        snapshot={},
    )
    now = time.time()
    Page.objects.create(
        run=run, application=application, lane="bulk", kind="people", due_at=now - 60, created_at=now - 60
    )
    Gate.objects.create(application=application, provider="apns", state="shut")
    text = client.get("/metrics").content.decode()
    assert 'notifyhub_waiting{lane="bulk",stage="plan"} 1.0' in text
    assert 'notifyhub_gates{provider="apns",state="shut"} 1.0' in text
    assert 'notifyhub_runs{state="running"} 1.0' in text
    (oldest,) = [line for line in text.splitlines() if line.startswith("notifyhub_oldest_seconds{")]
    assert 60 <= float(oldest.split()[-1]) < 90


def test_what_is_alike_is_one_figure(client, application):
    now = time.time()
    for number in range(3):
        run = Run.objects.create(
            application=application,
            origin=str(number),
            title="x",
            kind="audience",
            lane="bulk",
            state="running",
            snapshot={},
        )
        work = {"run": run, "application": application, "lane": "bulk", "created_at": now}
        page = Page.objects.create(kind="people", due_at=now - 60 * (number + 1), **work)
        Parcel.objects.create(page=page, provider="fcm", size=1, due_at=now, **work)
        EventType.objects.create(application=application, name=f"a.{number}", lane="high")
        Event.objects.create(
            application=application,
            source="/a",
            event_id=str(number),
            type=f"a.{number}",
            lane="high",
            received_at=now,
            time=timezone.now(),
        )
        other = Application.objects.create(name=str(number), slug=f"shop-{number}")
        Gate.objects.create(application=other, provider="fcm", state="shut")
    lines = client.get("/metrics").content.decode().splitlines()
    assert 'notifyhub_waiting{lane="bulk",stage="plan"} 3.0' in lines
    assert 'notifyhub_waiting{lane="bulk",stage="fcm"} 3.0' in lines
    assert 'notifyhub_waiting{lane="high",stage="decide"} 3.0' in lines
    assert 'notifyhub_gates{provider="fcm",state="shut"} 3.0' in lines
    assert 'notifyhub_runs{state="running"} 3.0' in lines
    (oldest,) = [
        line for line in lines if line.startswith('notifyhub_oldest_seconds{lane="bulk",stage="plan"}')
    ]
    assert 180 <= float(oldest.split()[-1]) < 210
    names = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names)), "Prometheus takes each figure once"


def test_figures_tell_what_is_stuck_and_stopped(client, application):
    run = Run.objects.create(
        application=application, origin="x", title="x", kind="audience", lane="bulk", snapshot={}
    )
    work = {"run": run, "application": application, "lane": "bulk", "due_at": 0, "created_at": 0}
    page = Page.objects.create(kind="people", state="dead", **work)
    Parcel.objects.create(page=page, provider="apns", size=1, state="dead", **work)
    Hold.objects.create(application=application)
    text = client.get("/metrics").content.decode()
    assert 'notifyhub_dead_letters{lane="bulk",stage="plan"} 1.0' in text
    assert 'notifyhub_dead_letters{lane="bulk",stage="apns"} 1.0' in text
    assert "notifyhub_holds 1.0" in text


@pytest.mark.django_db
def test_age_at_delivery_is_a_histogram_with_its_objective(client, monkeypatch):
    monkeypatch.setattr(health, "CHECKS", dict.fromkeys(health.CHECKS, lambda: None))
    found = {lane: ages.Histogram() for lane in LANES}
    found["critical"].add({b"2": b"6", b"3": b"3", b"15": b"1", b"within": b"9", b"ms": b"12500"})
    monkeypatch.setattr(ages, "totals", lambda: found)
    monkeypatch.setattr(presence, "read_figures", lambda: {"a": {"devices": 2.0, "restarted": 3.0}, "b": {}})
    text = client.get("/metrics").content.decode()
    assert 'notifyhub_age_seconds_bucket{lane="critical",le="0.25"} 6.0' in text
    assert 'notifyhub_age_seconds_bucket{lane="critical",le="0.5"} 9.0' in text
    assert 'notifyhub_age_seconds_bucket{lane="critical",le="+Inf"} 10.0' in text
    assert 'notifyhub_age_seconds_sum{lane="critical"} 12.5' in text
    assert 'notifyhub_age_within_objective{lane="critical"} 0.9' in text
    assert 'notifyhub_age_objective_seconds{lane="bulk"} 3600.0' in text
    assert "notifyhub_nodes 2.0" in text
    assert 'notifyhub_node{figure="restarted",node="a"} 3.0' in text


@pytest.mark.django_db
def test_without_redis_the_other_figures_are_told_all_the_same(client):
    text = client.get("/metrics").content.decode()
    assert "notifyhub_holds 0.0" in text and "notifyhub_age_seconds" not in text
    assert 'notifyhub_up{part="redis"} 0.0' in text and 'notifyhub_up{part="database"} 1.0' in text


def test_without_the_database_this_is_told(client, monkeypatch):
    def refuse():
        raise OperationalError("away")

    monkeypatch.setattr(health, "CHECKS", {"database": refuse, "log": refuse, "redis": refuse})
    answer = client.get("/metrics")
    assert answer.status_code == 200
    names = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    assert names == [f'notifyhub_up{{part="{part}"}} 0.0' for part in ("database", "log", "redis")]


@pytest.mark.django_db
def test_a_redis_that_hangs_holds_nothing_up(client, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(health, "TIMEOUT", 0.1)
    monkeypatch.setattr(
        health, "CHECKS", {**dict.fromkeys(health.CHECKS, lambda: None), "redis": lambda: let_go.wait(30)}
    )
    monkeypatch.setattr(ages, "totals", lambda: pytest.fail("asked a Redis that hangs"))
    try:
        text = client.get("/metrics").content.decode()
    finally:
        let_go.set()
    assert 'notifyhub_up{part="redis"} 0.0' in text and "notifyhub_holds 0.0" in text


@pytest.mark.django_db
def test_another_machine_is_refused(client):
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 403


@pytest.mark.django_db
def test_a_forwarded_request_is_refused_though_the_proxy_is_on_this_machine(client):
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403


@pytest.mark.django_db
def test_a_token_opens_from_anywhere_and_is_then_needed_everywhere(client, settings):
    settings.METRICS_TOKEN = "let me see"
    shown = {"Authorization": "Bearer let me see"}
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7", headers=shown).status_code == 200
    assert client.get("/metrics").status_code == 403
