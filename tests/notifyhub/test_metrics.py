import time

import pytest

from delivery.models import Gate, Page, Run
from devices.models import Application


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
