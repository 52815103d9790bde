"""The audit log: what is written by whom, who reads it, and that nobody changes it."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign, Experiment
from delivery.models import Credential, Run
from devices import audit, keys
from devices.history import changes_of, difference
from devices.models import ApiKey, AppendOnlyError, AuditEntry, Category, Membership, Role, Segment
from tests import on_postgresql
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def meadow() -> World:
    return build("Meadow")


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def chief(world: World) -> Client:
    return signed_in(world.of(Membership).user)


def newest() -> AuditEntry:
    found = AuditEntry.objects.order_by("-pk").first()
    assert found is not None
    return found


def test_a_form_of_the_admin_says_which_fields_changed_and_from_where(meadow: World) -> None:
    category = meadow.of(Category)
    address = reverse("admin:devices_category_change", args=[category.pk])
    client = chief(meadow)
    client.post(address, {"key": category.key, "name": "Late offers", "on": "on"}, REMOTE_ADDR="192.0.2.7")
    entry = newest()
    assert (entry.actor, entry.origin, entry.address) == ("user:Meadow-owner", "admin", "192.0.2.7")
    assert (entry.action, entry.model, entry.application) == (
        "change",
        "devices.category",
        meadow.application,
    )
    assert entry.changes["name"] == ["Meadow news", "Late offers"]
    page = client.get(reverse("admin:devices_category_history", args=[category.pk])).content.decode()
    assert "<del>Meadow</del>" in page and "<ins>Late</ins>" in page
    assert "by Meadow-owner" in page and "user:" not in page


def test_saving_a_form_as_it_was_writes_nothing(meadow: World) -> None:
    category = meadow.of(Category)
    client = chief(meadow)
    address = reverse("admin:devices_category_change", args=[category.pk])
    for _ in range(2):
        client.post(address, {"key": category.key, "name": "Late offers"})
    assert AuditEntry.objects.filter(model="devices.category").count() == 1


def test_what_is_made_and_deleted_is_told_with_what_it_held(meadow: World) -> None:
    client = chief(meadow)
    client.post(reverse("admin:devices_category_add"), {"key": "rain", "name": "Rain"})
    made = Category.objects.get(key="rain")
    assert (newest().action, newest().changes["name"]) == ("create", ["", "Rain"])
    client.post(reverse("admin:devices_category_delete", args=[made.pk]), {"post": "yes"})
    assert (newest().action, newest().changes["name"]) == ("delete", ["Rain", ""])
    other = Category.objects.create(application=meadow.application, key="snow", name="Snow")
    chosen = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    client.post(reverse("admin:devices_category_changelist"), chosen)
    assert (newest().action, newest().object_name) == ("delete", str(other))


def test_what_is_made_or_deleted_by_another_way_than_djangos_is_told_too(meadow: World) -> None:
    client = chief(meadow)
    client.post(
        reverse("admin:devices_apikey_add"), {"name": "shop", "scopes": ["runs:read"], "lanes": ["bulk"]}
    )
    assert (newest().action, newest().model) == ("create", "devices.apikey")
    assert newest().object_key == str(ApiKey.objects.get(name="shop").pk)
    assert newest().changes["name"] == ["", "shop"] and newest().changes["digest"] == ["", audit.HIDDEN]
    client.post(reverse("admin:delivery_hold_add"), {"lane": "bulk", "reason": "wrong price"})
    assert (newest().action, newest().model) == ("create", "delivery.hold")
    segment = Segment.objects.create(application=meadow.application, name="Old", predicate={"locale": "de"})
    client.post(reverse("admin:devices_segment_delete", args=[segment.pk]), {"post": "yes"})
    assert (newest().action, newest().changes["name"]) == ("delete", ["Old", ""])


def test_a_segment_that_somebody_uses_is_not_told_as_deleted(meadow: World) -> None:
    segment = meadow.of(Segment)
    Campaign.objects.update(segment=segment)
    chief(meadow).post(reverse("admin:devices_segment_delete", args=[segment.pk]), {"post": "yes"})
    assert Segment.objects.filter(pk=segment.pk).exists()
    assert not AuditEntry.objects.filter(action="delete").exists()


def test_the_variants_of_an_experiment_are_told_with_it(meadow: World) -> None:
    experiment = meadow.of(Experiment)
    before = {"id": str(experiment.pk)}
    client = chief(meadow)
    page = client.get(reverse("admin:campaigns_experiment_change", args=[experiment.pk]))
    form = page.context["adminform"].form
    posted = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    for formset in page.context["inline_admin_formsets"]:
        for inner in [formset.formset.management_form, *formset.formset.forms]:
            posted |= {inner.add_prefix(name): inner[name].value() or "" for name in inner.fields}
        posted[f"{formset.formset.prefix}-0-title"] = "Another title"
    client.post(reverse("admin:campaigns_experiment_change", args=[experiment.pk]), {**posted, **before})
    assert any(
        "Another title" in pair[1] for one in AuditEntry.objects.all() for pair in one.changes.values()
    )


def test_of_a_secret_only_that_it_changed_is_told(meadow: World) -> None:
    credential = meadow.of(Credential)
    before = audit.state_of(credential)
    credential.secret = {"private_key": "another"}
    changes = audit.difference(before, audit.state_of(credential))
    assert changes["secret"] == [audit.HIDDEN, audit.HIDDEN] and "another" not in str(changes)


def test_a_change_behind_what_is_kept_of_a_long_text_is_told_too() -> None:
    before, after = ({"body": "x" * audit.MOST_TEXT + end} for end in ("old", "new"))
    (pair,) = audit.difference(before, after).values()
    assert [len(text) for text in pair] == [audit.MOST_TEXT] * 2


def test_a_button_is_told_with_its_sentence(meadow: World) -> None:
    key = meadow.of(ApiKey)
    chief(meadow).post(reverse("admin:devices_apikey_revoke", args=[key.pk]))
    assert (newest().action, newest().model) == ("revoke", "devices.apikey") and newest().says


def test_who_exports_people_is_told(meadow: World) -> None:
    segment = meadow.of(Segment)
    client = signed_in(member("vera", meadow.application, Role.MARKETER))
    b"".join(client.get(reverse("admin:devices_segment_export", args=[segment.pk])).streaming_content)  # type: ignore[attr-defined]
    assert (newest().actor, newest().action, newest().object_name) == ("user:vera", "export", str(segment))


def test_services_are_told_by_their_key(meadow: World) -> None:
    scopes = ["campaigns:write", "campaigns:read", "campaigns:launch", "runs:write", "runs:read"]
    _, text = keys.mint(meadow.application, name="shop", scopes=scopes)
    client = Client(HTTP_AUTHORIZATION=f"Bearer {text}")
    made = client.post(
        "/api/v1/campaigns", json.dumps({"name": "Autumn", "title": "Now"}), content_type="application/json"
    )
    assert made.status_code == 201, made.content
    assert (newest().origin, newest().action, newest().object_name) == ("api", "create", "Autumn")
    assert newest().actor.endswith(" shop")
    uid = made.json()["id"]
    client.patch(f"/api/v1/campaigns/{uid}", json.dumps({"title": "Soon"}), content_type="application/json")
    assert newest().changes["title"] == ["Now", "Soon"]
    client.post(f"/api/v1/campaigns/{uid}/approve", content_type="application/json")
    assert newest().action == "approve"
    run = meadow.of(Run)
    client.post(f"/api/v1/runs/{run.uid}/pause")
    assert (newest().action, newest().model, newest().object_key) == ("pause", "delivery.run", str(run.pk))
    client.delete(f"/api/v1/campaigns/{uid}")
    client.post("/api/v1/holds", json.dumps({"lane": "bulk", "reason": "x"}), content_type="application/json")
    assert (newest().action, newest().says) == ("stop", "bulk: x")


def test_the_command_line_is_told_by_its_user(meadow: World, capsys: Any) -> None:
    call_command("stop", application=meadow.application.slug, reason="wrong price")
    assert (newest().origin, newest().action, newest().says) == ("command", "stop", "every lane: wrong price")
    call_command("stop", application=meadow.application.slug, resume=True)
    assert newest().action == "resume"


@pytest.mark.parametrize(
    ("role", "reads"),
    [
        (Role.VIEWER, False),
        (Role.MARKETER, False),
        (Role.APPROVER, False),
        (Role.OPERATOR, True),
        (Role.ADMINISTRATOR, True),
    ],
)
def test_operators_and_administrators_read_it(meadow: World, role: Role, reads: bool) -> None:
    audit.note(audit.command(), "stop", meadow.application, says="=cmd", path="pk")
    client = signed_in(member("x", meadow.application, role))
    page = client.get(reverse("admin:devices_auditentry_changelist"))
    file = client.get(reverse("admin:devices_auditentry_download"))
    if reads:
        assert "Stop" in page.content.decode()
        assert "'=cmd" in b"".join(file.streaming_content).decode()  # type: ignore[attr-defined]
        shown = client.get(reverse("admin:devices_auditentry_change", args=[newest().pk]))
        assert shown.status_code == 200 and 'name="_save"' not in shown.content.decode()
    else:
        assert page.status_code == 403 and file.status_code == 403


def test_python_changes_and_deletes_nothing(meadow: World) -> None:
    audit.note(audit.command(), "stop", meadow.application, path="pk")
    entry = newest()
    with pytest.raises(AppendOnlyError):
        entry.save()
    with pytest.raises(AppendOnlyError):
        entry.delete()
    with pytest.raises(AppendOnlyError):
        AuditEntry.objects.all().delete()
    with pytest.raises(AppendOnlyError):
        AuditEntry.objects.update(actor="nobody")


def test_the_database_refuses_too(meadow: World) -> None:
    catalogue = "pg_trigger WHERE tgname" if connection.vendor == "postgresql" else "sqlite_master WHERE name"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {catalogue} = 'audit_no_update'")
        if cursor.fetchone() is None:  # the tables were made without the migrations
            step = importlib.import_module("devices.migrations.0012_audit_log")
            step.guard(apps, SimpleNamespace(connection=connection, execute=cursor.execute))
    audit.note(audit.command(), "stop", meadow.application, path="pk")
    for statement in ("DELETE FROM devices_auditentry", "UPDATE devices_auditentry SET actor = 'nobody'"):
        with pytest.raises(DatabaseError, match="neither changed nor deleted"), transaction.atomic():
            connection.cursor().execute(statement)
    assert newest().actor == audit.command().actor


def test_a_difference_is_told_word_by_word_and_nothing_in_it_is_markup() -> None:
    assert difference("Now <b>", "Soon <b>") == "<del>Now</del><ins>Soon</ins> &lt;b&gt;"
    assert difference("", "new") == "<ins>new</ins>"


def test_a_campaigns_page_is_reached_by_its_history(meadow: World) -> None:
    campaign = meadow.of(Campaign)
    page = chief(meadow).get(reverse("admin:campaigns_campaign_history", args=[campaign.pk])).content.decode()
    assert "Nothing was done to it" in page


def test_what_a_button_did_is_called_as_the_button_is_in_the_viewers_language(meadow: World) -> None:
    campaign, client = meadow.of(Campaign), chief(meadow)
    audit.note(audit.command(), "launch", campaign)
    client.cookies["django_language"] = "de"
    for page in ("campaigns_campaign_history", "devices_auditentry_changelist"):
        args = [campaign.pk] if page.endswith("history") else []
        said = client.get(reverse(f"admin:{page}", args=args)).content.decode()
        assert "Starten" in said and "Launch" not in said, page


def test_a_history_says_what_was_pressed_and_chosen_as_the_pages_say_it(meadow: World) -> None:
    campaign, client = meadow.of(Campaign), chief(meadow)
    Campaign.objects.update(state="draft")
    client.post(reverse("admin:campaigns_campaign_submit", args=[campaign.pk]))
    page = client.get(reverse("admin:campaigns_campaign_history", args=[campaign.pk])).content.decode()
    assert "<strong>Ask for approval</strong>" in page
    said = changes_of(
        AuditEntry(
            changes={"when_capped": ["", "drop"], "transactional": ["False", "True"], "title": ["a", "b"]}
        ),
        Campaign,
    )
    assert [str(difference) for _, difference in said] == [
        "<ins>Leave them out</ins>",
        "<del>No</del><ins>Yes</ins>",
        "<del>a</del><ins>b</ins>",
    ]


@pytest.mark.server
def test_all_this_is_so_on_postgresql(postgres_server: Any) -> None:
    on_postgresql.run(postgres_server.url, [Path(__file__)])
