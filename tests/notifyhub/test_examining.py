"""`doctor hub` says what keeps anything from being sent, and what to do."""

import time

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from delivery import presence
from delivery.models import Gate, Hold, Page, Parcel, Run
from devices.models import Application
from notifyhub import examining, health


@pytest.fixture
def application(db, monkeypatch):
    monkeypatch.setattr(health, "CHECKS", dict.fromkeys(health.CHECKS, lambda: None))
    monkeypatch.setattr(presence, "read_figures", lambda: {"a": {"devices": 2.0}, "b": {"devices": 1.0}})
    return Application.objects.create(name="Shop", slug="shop")


def wrong():
    return [finding.sentence for finding in examining.findings() if finding.wrong]


def test_where_nothing_is_wrong_it_says_so(application, capsys):
    call_command("doctor", "hub")
    told = capsys.readouterr().out
    assert "Nothing is wrong." in told and "2 with 3 devices" in told and "redis: answers" in told


def test_each_reason_why_nothing_is_sent_is_named_with_the_way_out(application, capsys):
    Hold.objects.create(application=application, lane="bulk", by="ada", reason="wrong price")
    Gate.objects.create(application=application, provider="apns", state="shut", reason="key revoked")
    run = Run.objects.create(
        application=application,
        origin="x",
        title="Spring",
        kind="audience",
        lane="bulk",
        state="paused",
        reason="tokens were refused",
        snapshot={},
    )
    now = time.time()
    work = {"run": run, "application": application, "lane": "bulk", "due_at": now - 7_200, "created_at": now}
    page = Page.objects.create(kind="people", **work)
    Parcel.objects.create(page=page, provider="fcm", size=1, state="dead", **work)
    with pytest.raises(CommandError, match="5 of these"):
        call_command("doctor", "hub")
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("!")]
    for line, said in zip(
        told,
        (
            "wrong price). Go on: manage.py stop --application shop --lane bulk --resume",
            "shop apns: key revoked",
            f"run {run.uid} “Spring”: tokens were refused",
            "1 of plan bulk wait, the oldest for 72",
            "1 parcels of fcm bulk",
        ),
        strict=True,
    ):
        assert said in line


def test_what_is_not_due_yet_is_not_late(application):
    run = Run.objects.create(
        application=application, origin="x", title="x", kind="audience", lane="bulk", snapshot={}
    )
    Page.objects.create(
        run=run, application=application, lane="bulk", kind="people", due_at=time.time() + 60, created_at=0
    )
    assert wrong() == []


def test_without_the_database_the_parts_alone_are_told(monkeypatch):
    def refuse():
        raise OperationalError("sesame")

    monkeypatch.setattr(health, "CHECKS", {"database": refuse, "log": lambda: None, "redis": lambda: None})
    (said,) = wrong()
    assert said.startswith("database: NO ANSWER (OperationalError). DATABASE_URL")


def test_that_no_web_process_lives_is_told(application, monkeypatch):
    monkeypatch.setattr(presence, "read_figures", dict)
    (said,) = wrong()
    assert said.startswith("nodes: none")
