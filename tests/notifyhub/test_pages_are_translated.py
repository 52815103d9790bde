"""Reads every page of the admin in Japanese: a Latin word that is no name would be a text nobody marked."""

import re
import time
from collections import Counter
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from campaigns import alerting, experimenting, launching, trying
from campaigns.models import Campaign, Experiment
from campaigns.models import TestDevice as NamedDevice  # pytest would take it for a test
from delivery import brake, gates, holds, remarks, runs
from delivery.models import AlertRule, Gate, Hold, Incident, Page, Parcel, Run, WorkState
from delivery.models.alert import KINDS
from delivery.snapshot import Snapshot, Text, to_json
from devices.models import Application
from tests.admin_world import World, build
from tests.test_empty_lists import OURS, address_of
from tests.test_isolation_admin import addresses_of, lists_of

pytestmark = pytest.mark.django_db(databases=["default", "log"])

SPOKEN = ("aria-label", "placeholder", "title", "alt", "data-label")
EMPTY = {"br", "circle", "hr", "img", "input", "line", "link", "meta", "path", "polyline", "rect"}
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]{3,}")
NAMES = re.compile(
    r"""(?ix)
    .*zebra.* | (user:)?admin(@example\.com)? | English | Deutsch | notifyhub | Hello   # data, and names of languages
    | [0-9a-f]{8}-[0-9a-f-]{27} | .*[0-9a-f]{8} | [a-z_0-9.]+ | \{.*\} | https?:.*   # ids, codes and JSON
    | WebSocket | UID | UTC | Android(\ \(FCM\))? | iOS(\ \(APNs\))? | FCM | APNs | Web(\ Push)? | Webhook | Crontab
    | .*\(Android\) | OFFER | your-site\.example | 0\ 9\ \*\ \*\ mon-fri | HS256.* | EdDSA.*
    | Base\ revision
    """
)


class Texts(HTMLParser):
    """The texts of a page that a person sees or hears."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in EMPTY:
            self._open.append(tag)
        self.found += [value for name, value in attrs if name in SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "code", "template"} & set(self._open) and data.strip():
            self.found.append(" ".join(data.split()))


def untranslated(page: str) -> list[str]:
    parser = Texts()
    parser.feed(page)
    return [
        text
        for text in parser.found
        if ENGLISH.search(text) and not JAPANESE.search(text) and not NAMES.fullmatch(text)
    ]


def test_no_page_of_the_admin_shows_a_text_that_is_not_translated(admin_client: Client) -> None:
    world = build("Zebra")
    admin_client.cookies["django_language"] = "ja"
    addresses = [
        reverse(f"admin:{name}")
        for name in (
            "index",
            "campaigns_calendar",
            "campaigns_why",
            "delivery_run_compare",
            "devices_second_factor",
        )
    ]
    for row in world.rows:
        addresses += [*addresses_of(row), *lists_of(row)]
    found: dict[str, str] = {}
    walked = 0
    for address in addresses:
        answer = admin_client.get(address, follow=True)
        if answer.status_code == 200 and "html" in answer.headers["Content-Type"]:
            walked += 1
            for text in untranslated(answer.content.decode()):
                found.setdefault(text, address)
    assert walked > 90
    assert found == {}


def in_trouble(world: World) -> None:
    """Have workers note something of every kind; no name here is one of those that are left out."""
    of = world.application
    Campaign.objects.filter(application=of).update(name="41", segment=None, category=None)
    Run.objects.filter(application=of).update(title="42")
    NamedDevice.objects.filter(application=of).update(name="53")
    gates.shut(of.pk, "fcm", remarks.CREDENTIALS_REFUSED % {"code": "403"})
    gates.slow(of.pk, "webpush", until=time.time() + 60, reason=remarks.ASKS_TO_WAIT)
    holds.stop(of, lane="critical", by="48", reason=remarks.BY_THE_BUTTON)
    Page.objects.filter(application=of).update(state=WorkState.WAITING, due_at=time.time() - 7_200)
    frozen = to_json(Snapshot(texts={"en": Text(title="51")}))
    halted = Run.objects.create(
        application=of,
        title="43",
        kind="audience",
        lane="high",
        state="running",
        snapshot=frozen,
    )
    runs.halt(halted, brake.wave(Parcel(), answered=2_000, refused=Counter(bad_device_token=1_900)))
    stopped = Run.objects.create(
        application=of, title="44", kind="audience", lane="high", state="running", snapshot=frozen
    )
    runs.cancel(stopped, reason=remarks.CANCELLED_BY % {"user": "49"})
    experiment = Experiment.objects.get(application=of)
    experimenting.choose(experiment, "A", by="50")
    Campaign.objects.create(application=of, name="45", title="45", state=Campaign.State.IN_REVIEW)
    campaign = Campaign.objects.get(name="41")
    with override("ja"):  # whoever launches or tries something names the run in their language
        canary = launching.launch(campaign, by="46", canary=20)
        trying.send_test(campaign, NamedDevice.objects.filter(application=of), by="47")
    Run.objects.filter(pk=canary.pk).update(state=Run.State.DONE)
    Run.objects.filter(application=of).update(origin="52")
    Incident.objects.all().delete()
    alerting.look(timezone.now())
    assert {one.kind for one in Incident.objects.all()} == set(KINDS)


def test_what_workers_note_is_translated_where_it_is_shown(admin_client: Client) -> None:
    in_trouble(build("Zebra"))
    admin_client.cookies["django_language"] = "ja"
    addresses = [reverse(f"admin:{name}") for name in ("index", "delivery_incident_changelist")]
    addresses += [reverse("admin:delivery_incident_change", args=[one.pk]) for one in Incident.objects.all()]
    addresses += [
        reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_change", args=[row.pk])
        for model in (AlertRule, Experiment, Gate, Hold, Run)
        for row in model._default_manager.all()
    ]
    addresses += [reverse(f"admin:delivery_{name}_changelist") for name in ("gate", "hold", "run")]
    halted = Run.objects.get(title="43")
    addresses += [
        reverse(f"admin:delivery_run_{name}", args=[halted.pk]) for name in ("resume", "retire_and_resume")
    ]
    found: dict[str, str] = {}
    for address in addresses:
        answer = admin_client.get(address)
        assert answer.status_code == 200
        found |= dict.fromkeys(untranslated(answer.content.decode()), address)
    assert found == {}


def test_the_first_page_of_a_hub_without_anything_is_translated(admin_client: Client, client: Client) -> None:
    client.force_login(User.objects.create_user("zebra", is_staff=True))
    for browser in (admin_client, client):
        browser.cookies["django_language"] = "ja"
        assert untranslated(browser.get(reverse("admin:index")).content.decode()) == []


def test_the_page_that_refuses_is_translated(client: Client) -> None:
    client.force_login(User.objects.create_user("zebra", is_staff=True))
    client.cookies["django_language"] = "ja"
    refused = client.get(reverse("admin:campaigns_campaign_changelist"))
    assert refused.status_code == 403
    assert untranslated(refused.content.decode()) == []


def test_no_empty_list_shows_a_text_that_is_not_translated(admin_client: Client) -> None:
    admin_client.cookies["django_language"] = "ja"
    found: dict[str, str] = {}
    for model in sorted(OURS, key=lambda model: model is not Application):
        page = admin_client.get(address_of(model)).content.decode()
        assert "data-empty" in page, model
        found.update(dict.fromkeys(untranslated(page), address_of(model)))
        Application.objects.get_or_create(name="Zebra app", slug="zebra")
    assert found == {}


def test_an_english_text_is_noticed() -> None:
    assert untranslated('<p>Oh dear</p><img alt="A picture"><p>日本</p>') == ["Oh dear", "A picture"]
