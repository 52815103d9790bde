"""Alerts: once for an incident and once more when it is over, signed, tried again, and never into our own network."""

import hashlib
import hmac
import json
import socket
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from campaigns import alerting, launching
from campaigns.models import Campaign
from delivery import ages, alerts, posting, remarks
from delivery.models import AlertNote, AlertRule, Gate, Incident, Page, Run, WorkState
from devices.models import Role
from notifyhub import dashboard
from tests.admin_world import World, build, member

pytestmark = pytest.mark.django_db(databases=["default", "log"])


@pytest.fixture
def meadow(settings: Any) -> World:
    """An application in which nothing is wrong, with nobody who is told of anything."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.EMAIL_SET = True
    world = build("Meadow")
    AlertRule.objects.all().delete()
    Incident.objects.all().delete()
    Gate.objects.update(state=Gate.State.OPEN)
    return world


@pytest.fixture(autouse=True)
def no_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ages, "lately", lambda *_, **__: {})


def rule(world: World, **values: Any) -> AlertRule:
    fields = {"name": "Us", "emails": "ada@example.com\nbob@example.com"}
    return AlertRule.objects.create(application=world.application, **{**fields, **values})


def send_all() -> None:
    while alerts.send_one():
        pass


def subjects() -> list[str]:
    return [message.subject for message in mail.outbox]


def shut(world: World) -> Gate:
    Gate.objects.filter(application=world.application).update(state=Gate.State.SHUT, reason="refused")
    return Gate.objects.get(application=world.application)


def test_an_incident_is_told_once_and_once_more_when_it_is_over(meadow: World) -> None:
    rule(meadow)
    gate = shut(meadow)
    for _ in range(3):
        alerting.look(timezone.now())
        send_all()
    assert subjects() == ["[Meadow app] A provider's gate is shut"]
    assert mail.outbox[0].to == ["ada@example.com", "bob@example.com"]
    assert "FCM is shut: refused" in mail.outbox[0].body and f"/gate/{gate.pk}/" in mail.outbox[0].body
    Gate.objects.update(state=Gate.State.OPEN)
    for _ in range(3):
        alerting.look(timezone.now())
        send_all()
    assert subjects()[1:] == ["[Meadow app] Over: A provider's gate is shut"]
    shut(meadow)
    alerting.look(timezone.now())
    send_all()
    assert len(mail.outbox) == 3 and Incident.objects.count() == 2


def test_an_incident_is_said_in_the_language_of_whoever_reads_and_told_to_webhooks_in_english(
    meadow: World,
) -> None:
    mailed = rule(meadow, language="de")
    gate = shut(meadow)
    with override("ja"):
        alerting.look(timezone.now())
    incident = Incident.objects.get()
    assert incident.sentence == "The gate of FCM is shut: refused."
    assert incident.values == {"provider": "fcm", "reason": "refused"}
    with override("de"):
        assert incident.said == str(incident) == "Die Schranke von FCM ist geschlossen: refused."
        assert alerts.document(mailed.notes.get())["incident"]["sentence"] == incident.sentence
        incident.values = {}
        assert incident.said == incident.sentence, "a row of an earlier version"
    send_all()
    assert subjects() == ["[Meadow app] Die Schranke eines Anbieters ist geschlossen"]
    assert mail.outbox[0].body.startswith("Die Schranke von FCM ist geschlossen: refused.\n\nSeit ")
    assert f"/gate/{gate.pk}/" in mail.outbox[0].body


def test_each_rule_has_its_mails_written_in_its_own_language(meadow: World) -> None:
    for language in ("en", "de", "ja"):
        rule(meadow, name=language, emails=f"{language}@example.com", language=language)
    shut(meadow)
    with override("ja"):
        alerting.look(timezone.now())
        send_all()
    told = {message.to[0][:2]: (message.subject, message.body.splitlines()[0]) for message in mail.outbox}
    assert told == {
        "en": ("[Meadow app] A provider's gate is shut", "The gate of FCM is shut: refused."),
        "de": (
            "[Meadow app] Die Schranke eines Anbieters ist geschlossen",
            "Die Schranke von FCM ist geschlossen: refused.",
        ),
        "ja": ("[Meadow app] プロバイダーのゲートが閉じた", "FCM のゲートが閉じています: refused"),
    }


def test_a_new_rule_writes_in_the_hubs_language_until_its_page_says_another(meadow: World) -> None:
    made = rule(meadow)
    assert made.language == "en"
    owner = Client()
    owner.force_login(member("olga", meadow.application, Role.ADMINISTRATOR))
    address = reverse("admin:delivery_alertrule_change", args=[made.pk])
    assert 'name="language"' in owner.get(address).content.decode()
    posted = {"name": "Us", "kinds": ["gate_shut"], "way": "email", "emails": "a@b.example", "enabled": "on"}
    owner.post(address, {**posted, "language": "tlh"})
    made.refresh_from_db()
    assert made.language == "en"
    assert owner.post(address, {**posted, "language": "ja"}).status_code == 302
    made.refresh_from_db()
    assert made.language == "ja"


def test_each_of_the_four_kinds_is_found_and_told_to_whom_it_concerns(meadow: World) -> None:
    rule(meadow)
    rule(meadow, name="Approvers", emails="eve@example.com", kinds=["approval_waiting"])
    rule(meadow, name="Off", enabled=False)
    rule(build("Harbour"), emails="harbour@example.com", kinds=["run_paused"])
    shut(meadow)
    run = meadow.of(Run)
    Page.objects.filter(run=run).update(state=WorkState.WAITING, due_at=time.time() - 7200)
    Run.objects.create(
        application=meadow.application,
        origin="x",
        title="Halted",
        kind="audience",
        lane="bulk",
        state=Run.State.PAUSED,
        brake=Run.Brake.TRIPPED,
        reason="60 of 100 tokens were refused",
        snapshot=run.snapshot,
    )
    Campaign.objects.filter(application=meadow.application).update(state=Campaign.State.IN_REVIEW)
    alerting.look(timezone.now())
    send_all()
    mine = Incident.objects.filter(application=meadow.application)
    found = sorted((incident.kind, incident.sentence) for incident in mine)
    assert [kind for kind, _ in found] == ["approval_waiting", "gate_shut", "lane_late", "run_paused"]
    assert "The lane bulk is over its objective of 3,600 s" in found[2][1]
    assert "60 of 100" in found[3][1]
    told = sorted((message.to[0], message.subject.partition("] ")[2]) for message in mail.outbox)
    assert told == [
        ("ada@example.com", "A campaign waits for approval"),
        ("ada@example.com", "A lane is over its objective"),
        ("ada@example.com", "A provider's gate is shut"),
        ("ada@example.com", "A run was paused by a guard"),
        ("eve@example.com", "A campaign waits for approval"),
    ]


def test_a_canary_that_has_told_its_people_waits_for_somebody(meadow: World) -> None:
    rule(meadow)
    campaign = meadow.of(Campaign)
    Campaign.objects.filter(pk=campaign.pk).update(segment=None, category=None)
    campaign.refresh_from_db()
    launching.launch(campaign, by="eve", canary=20)
    alerting.look(timezone.now())
    assert not Incident.objects.exists(), "it is still being told"
    version = launching.waiting_canary(campaign)
    Run.objects.filter(uid=launching.canary_uid(version)).update(state=Run.State.DONE)
    alerting.look(timezone.now())
    send_all()
    incident = Incident.objects.get()
    assert incident.sentence == f"“{campaign.name}” has told its first 20% and waits: go on, or stop it."
    assert incident.path == reverse("admin:campaigns_campaign_preflight", args=[campaign.pk])
    assert subjects() == ["[Meadow app] A canary waits for a decision"]
    since = timezone.now() - timedelta(days=1)
    shown = [path for _, path, _ in dashboard.trouble([meadow.application.pk], since)]
    assert shown.count(incident.path) == 1, "the dashboard says it once"
    launching.go_on(version, by="eve")
    alerting.look(timezone.now())
    incident.refresh_from_db()
    assert incident.resolved_at is not None


def test_a_lane_that_comes_and_goes_is_one_incident(meadow: World) -> None:
    rule(meadow)
    now = timezone.now()
    late = Page.objects.filter(run=meadow.of(Run))
    late.update(state=WorkState.WAITING, due_at=time.time() - 7200)
    alerting.look(now)
    late.update(state=WorkState.DONE)
    alerting.look(now + timedelta(seconds=60))
    assert Incident.objects.get().resolved_at is None
    late.update(state=WorkState.WAITING)
    alerting.look(now + timedelta(seconds=90))
    late.update(state=WorkState.DONE)
    alerting.look(now + timedelta(seconds=150))
    assert Incident.objects.get().resolved_at is None
    alerting.look(now + timedelta(seconds=211))
    assert Incident.objects.get().resolved_at is not None


def test_a_lane_whose_messages_were_late_this_hour_is_over_its_objective(
    meadow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(meadow)
    late = ages.Histogram(buckets=[0, 0, 0, 0, 0, 200, *[0] * 10], within=20)
    monkeypatch.setattr(ages, "lately", lambda *_, **__: {"critical": late})
    alerting.look(timezone.now())
    assert "critical is over its objective of 1 s: 10% of this hour's 200" in Incident.objects.get().sentence


def test_a_run_that_is_paused_by_hand_and_a_held_lane_are_no_incidents(meadow: World) -> None:
    rule(meadow)
    run = meadow.of(Run)
    Page.objects.filter(run=run).update(state=WorkState.WAITING, due_at=0, lane="normal")  # that lane is held
    Run.objects.filter(pk=run.pk).update(state=Run.State.PAUSED)
    assert alerting.look(timezone.now()) == 0


def test_without_a_mail_server_a_note_says_so_and_is_given_up(meadow: World, settings: Any) -> None:
    settings.EMAIL_SET = False
    alerts.test(rule(meadow))
    send_all()
    note = AlertNote.objects.get()
    assert (note.state, note.tries) == ("failed", 1)
    assert note.error == "The hub has no mail server: set NOTIFYHUB_EMAIL_URL."


def test_why_a_note_was_not_taken_is_kept_in_english_and_shown_in_the_viewers_language(
    meadow: World, settings: Any
) -> None:
    settings.EMAIL_SET = False
    alerts.test(made := rule(meadow, language="ja"))
    with override("de"):  # whatever the worker speaks
        send_all()
    assert AlertNote.objects.get().error == "The hub has no mail server: set NOTIFYHUB_EMAIL_URL."
    reader = Client()
    reader.force_login(member("rita", meadow.application, Role.OPERATOR))
    address = reverse("admin:delivery_alertrule_change", args=[made.pk])
    page = reader.get(address, headers={"accept-language": "de"}).content.decode()
    assert "Der Hub hat keinen Mailserver" in page and "The hub has no mail server" not in page


@pytest.mark.parametrize("remark", remarks.OF_POSTS)
def test_every_reason_of_ours_is_found_again(remark: str) -> None:
    stored = remark % {"most": "500", "host": "hooks.example", "error": "timed out", "status": "503"}
    note = AlertNote(error=stored)
    assert note.because == stored
    with override("de"):
        assert note.because != stored and "%(" not in note.because


def test_what_the_mail_server_said_stays() -> None:
    with override("de"):
        assert AlertNote(error="(550, b'no such user')").because == "(550, b'no such user')"


def test_what_fails_is_tried_again_later_and_given_up_in_the_end(
    meadow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise posting.PostError("hooks.example answered 503.")

    monkeypatch.setattr(posting, "post", away)
    alerts.test(rule(meadow, way="webhook", url="https://hooks.example/x"))
    waits = []
    for _ in range(alerts.TRIES):
        AlertNote.objects.update(due_at=0)
        assert alerts.send_one()
        waits.append(AlertNote.objects.get().due_at - time.time())
    assert not alerts.send_one()
    assert waits[1] == pytest.approx(2 * waits[0], rel=0.1) and waits[5] == pytest.approx(
        32 * waits[0], rel=0.1
    )
    assert AlertNote.objects.get().state == "failed"


def test_a_note_that_two_workers_see_is_sent_by_one(meadow: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts.test(rule(meadow))
    real, inside = alerts._send, []

    def while_sending(note: AlertNote) -> None:
        inside.append(alerts.send_one())
        real(note)

    monkeypatch.setattr(alerts, "_send", while_sending)
    alerts.send_one()
    assert inside == [False] and len(mail.outbox) == 1


# -- webhooks


class Hook:
    """A receiver of webhooks on this machine."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status, self.location = 204, ""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.status)
                if hook.location:
                    self.send_header("Location", hook.location)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://hooks.internal:{self.server.server_port}/alerts"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Hook]:
    made = Hook()
    real = socket.getaddrinfo

    def looked_up(host: str, *given: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host.endswith((".internal", ".example")) else host, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    settings.WEBHOOK_PRIVATE_HOSTS = ["hooks.internal"]
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_webhook_gets_a_signed_document_at_the_address_that_was_looked_up(
    meadow: World, hook: Hook
) -> None:
    made = rule(meadow, way="webhook", url=hook.url)
    shut(meadow)
    alerting.look(timezone.now())
    send_all()
    ((headers, body),) = hook.got
    told = json.loads(body)
    assert told["type"] == "alert.opened" and told["incident"]["kind"] == "gate_shut"
    assert told["incident"]["values"] == {"provider": "fcm", "reason": "refused"}
    assert told["application"]["slug"] == "meadow" and told["incident"]["url"].endswith("/change/")
    key = b64decode(made.secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert AlertNote.objects.get().state == "sent"


def test_an_address_that_is_not_public_is_not_connected_to(meadow: World, hook: Hook) -> None:
    url = f"https://hooks.example:{hook.server.server_port}/"
    with pytest.raises(posting.PostError, match="no public address"):
        posting.post(url, b"{}", {})
    assert not hook.got


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.status, hook.location = 302, hook.url + "/else"
    with pytest.raises(posting.PostError, match="answered 302"):
        posting.post(hook.url, b"{}", {}, private=["hooks.internal"])
    assert len(hook.got) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "http://hooks.example/",
        "https://",
        "https://user:word@hooks.example/",
        "https://hooks.example/#x",
        "https://hooks.example:99999/",
        "https://hooks.example/ x",
        "file:///etc/passwd",
        "https://" + "a" * 500,
    ],
)
def test_what_is_no_webhook_address_is_refused(url: str) -> None:
    with pytest.raises(posting.PostError):
        posting.check(url)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"]
)
def test_a_literal_address_of_our_own_network_is_not_connected_to(address: str) -> None:
    with pytest.raises(posting.PostError, match="no public address"):
        posting.post(f"https://{address}/", b"{}", {})


# -- the pages


def owner(world: World) -> Client:
    client = Client()
    client.force_login(member("an-owner", world.application, Role.ADMINISTRATOR))
    return client


def save(client: Client, **values: Any) -> Any:
    fields = {
        "name": "Us",
        "kinds": ["gate_shut"],
        "way": "email",
        "emails": "",
        "language": "en",
        "url": "",
        "enabled": "on",
    }
    return client.post(reverse("admin:delivery_alertrule_add"), {**fields, **values}, follow=True)


def test_an_owner_makes_a_rule_and_sends_a_test(meadow: World) -> None:
    client = owner(meadow)
    save(client, emails="Ada@example.com, bob@example.com")
    made = AlertRule.objects.get()
    assert made.emails.split() == ["Ada@example.com", "bob@example.com"] and made.kinds == ["gate_shut"]
    client.post(reverse("admin:delivery_alertrule_test", args=[made.pk]))
    send_all()
    assert subjects() == ["[Meadow app] A test"]
    page = client.get(reverse("admin:delivery_alertrule_change", args=[made.pk])).content.decode()
    assert "A test" in page and "Sent" in page


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"emails": ""}, "Write at least one e-mail address."),
        ({"emails": "ada@example.com\nnobody"}, "“nobody” is no e-mail address."),
        ({"emails": " ".join(f"a{n}@example.com" for n in range(21))}, "21 addresses; at most 20."),
        ({"way": "webhook"}, "address begins with https://."),
        ({"way": "webhook", "url": "http://hooks.example/"}, "address begins with https://."),
        ({"emails": "ada@example.com", "kinds": []}, "This field is required."),
    ],
)
def test_a_wrong_rule_is_refused_beside_the_field(meadow: World, values: dict[str, Any], said: str) -> None:
    page = save(owner(meadow), **values).content.decode()
    assert said in page and not AlertRule.objects.exists()


def test_the_signing_secret_is_shown_once(meadow: World) -> None:
    client = owner(meadow)
    page = save(client, way="webhook", url="https://hooks.example/x").content.decode()
    made = AlertRule.objects.get()
    assert made.secret in page or made.secret.replace("+", "&#x2B;") in page
    assert (
        made.secret[:16]
        not in client.get(reverse("admin:delivery_alertrule_change", args=[made.pk])).content.decode()
    )
    client.post(reverse("admin:delivery_alertrule_new_secret", args=[made.pk]))
    assert AlertRule.objects.get().secret != made.secret


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MARKETER, Role.APPROVER])
def test_who_is_no_owner_changes_no_rule_and_sends_no_test(meadow: World, role: Role) -> None:
    made = rule(meadow)
    client = Client()
    client.force_login(member("somebody", meadow.application, role))
    assert save(client, emails="ada@example.com").status_code == 403
    assert client.post(reverse("admin:delivery_alertrule_test", args=[made.pk])).status_code == 403
    assert not AlertNote.objects.exists()
