"""Every page of the admin asks the database as often for much as for little: none asks once more for each row."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign, CampaignVersion, Decision, Event, Experiment, Variant
from delivery.models import AlertNote, AlertRule, Page, Parcel, Run, Tally
from devices.models import AuditEntry, Category, Device, Import, Membership, Preference, Segment, Subscriber
from devices.short_memory import ShortMemory
from tests.admin_pages import pages
from tests.admin_world import World, build

pytestmark = pytest.mark.django_db(databases=["default", "log"])

MORE = 4
"""Worlds of which everything is given to the first one's application."""


def test_no_page_asks_once_more_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShortMemory, "get", lambda self, key: None)  # what is remembered hides what is asked
    meadow = build("Meadow")
    owner = Client()
    owner.force_login(meadow.of(Membership).user)
    all_pages = pages(meadow, meadow.of(Membership).user)
    assert len(all_pages) > 70
    give(meadow, 1)
    few = {name: asked(owner, address) for name, address in all_pages}
    give(meadow, MORE)
    many = {name: asked(owner, address) for name, address in all_pages}
    grown = [
        f"{name}: {len(few[name])} queries, then {len(many[name])}, as {new(few[name], many[name])[:400]}"
        for name in many
        if len(many[name]) > len(few[name])
    ]
    assert not grown, "\n".join(grown)


def asked(browser: Client, address: str) -> list[str]:
    """Return the statements that a page asks."""
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["log"]) as log,
    ):
        assert browser.get(address).status_code == 200, address
    return [query["sql"] for query in [*main, *log]]


def new(before: list[str], after: list[str]) -> str:
    """Return a statement that is asked more often than before, by how it begins."""
    left = [statement[:120] for statement in before]
    for statement in after:
        if statement[:120] not in left:
            return statement
        left.remove(statement[:120])
    return ""


def give(world: World, count: int) -> None:
    """Give an application `count` more of everything that it has, and its objects more of what they hold."""
    for _ in range(count):
        other = build(f"W{uuid4().hex[:6]}")
        for model in {type(row) for row in other.rows} - {AuditEntry}:  # which nobody changes
            if any(field.name == "application" for field in model._meta.fields):
                for row in model._base_manager.filter(application=other.application):
                    move(row, world)
        fill(world, other)


def move(row: Any, world: World) -> None:
    """Give a row to the world's application, or delete it where an application has one of its kind."""
    try:
        with transaction.atomic():
            type(row)._base_manager.filter(pk=row.pk).update(application=world.application)
    except IntegrityError:
        row.delete()


def fill(world: World, other: World) -> None:
    """Give the objects of the world, whose pages are looked at, more of what stands on their pages."""
    run, campaign, person = world.of(Run), world.of(Campaign), world.of(Subscriber)
    Run.objects.filter(title=other.of(Run).title).update(
        origin=f"campaign:{campaign.uid}:v{other.application.pk}"
    )
    number = CampaignVersion.objects.filter(campaign=campaign).count() + 1
    version = CampaignVersion.objects.filter(campaign=campaign).latest("pk")
    CampaignVersion.objects.create(
        campaign=campaign, number=number, snapshot=version.snapshot, digest=f"{number}" * 8
    )
    Device.objects.filter(subscriber__external_id=other.of(Subscriber).external_id).update(subscriber=person)
    Page.objects.filter(run__title=other.of(Run).title).update(run=run)
    Parcel.objects.filter(run__title=other.of(Run).title).update(run=run)
    Preference.objects.create(subscriber=person, category=other.of(Category), allowed=False)
    Decision.objects.filter(event=other.of(Event)).update(event=world.of(Event))
    AlertNote.objects.filter(rule=other.of(AlertRule)).update(rule=world.of(AlertRule))
    Variant.objects.create(experiment=world.of(Experiment), key=f"V{number}", title="Another")
    for kind in ("opened", "converted"):
        Tally.objects.create(run=run, kind=kind, dimension="locale", value=f"x{number}", people=1, devices=1)
    Segment.objects.filter(pk=other.of(Segment).pk).update(predicate={"segment": str(world.of(Segment).uid)})
    Import.objects.update(refused=number)
    AuditEntry.objects.create(
        application=world.application,
        actor="user:eva",
        origin=AuditEntry.Origin.ADMIN,
        action="change",
        model="campaigns.campaign",
        object_key=str(campaign.pk),
        object_name=campaign.name,
        changes={"title": ["a", "b"]},
    )
