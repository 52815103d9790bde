"""Checking credentials: the answer sets the gate, and the doctor tells the operator."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils.translation import override

from delivery import checking, gates
from delivery.models import Credential, Gate
from delivery.senders.contract import CredentialError, UnreachableError
from devices.models import Application
from tests.delivery import world

pytestmark = pytest.mark.django_db(databases=["default", "log"], transaction=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> world.FakeSender:
    """A provider that takes every credential; `error` is raised instead."""
    sender = world.FakeSender()
    monkeypatch.setattr(checking, "sender_for", lambda name: sender)
    return sender


@pytest.fixture
def app() -> Application:
    made = world.application()
    Credential.objects.create(application=made, provider="fcm", secret={"service_account": {}})
    return made


def of(app: Application) -> Credential:
    return Credential.objects.get(application=app, slot=1)


def answer(sender: world.FakeSender, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(credential: object) -> None:
        raise error

    monkeypatch.setattr(sender, "check", check)


def test_accepted_credentials_open_a_shut_gate(asked: world.FakeSender, app: Application) -> None:
    gates.shut(app.pk, "fcm", "refused")
    found = checking.check(of(app))
    assert (found.accepted, found.code) == (True, "accepted")
    assert gates.state(app.pk, "fcm").state == Gate.State.OPEN
    assert "gate" not in checking.check(of(app)).sentence


def test_refused_credentials_shut_the_gate(
    asked: world.FakeSender, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(asked, CredentialError("permission_denied", "FCM refuses it."), monkeypatch)
    found = checking.check(of(app))
    assert (found.accepted, found.code, found.sentence) == (False, "permission_denied", "FCM refuses it.")
    gate = gates.state(app.pk, "fcm")
    assert (gate.state, "permission_denied" in gate.reason) == (Gate.State.SHUT, True)


@pytest.mark.parametrize("before", [Gate.State.OPEN, Gate.State.SHUT])
def test_a_provider_that_cannot_be_asked_leaves_the_gate_as_it_is(
    asked: world.FakeSender, app: Application, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    if before == Gate.State.SHUT:
        gates.shut(app.pk, "fcm", "refused")
    answer(asked, UnreachableError("unreachable", "It cannot be reached."), monkeypatch)
    assert not checking.check(of(app)).accepted
    assert gates.state(app.pk, "fcm").state == before


def test_credentials_for_a_fleet_that_does_not_run_are_said_to_be_missing(app: Application) -> None:
    Credential.objects.update(stands_in=True)
    found = checking.check(of(app))
    assert (found.accepted, found.code) == (False, "missing")
    assert "none runs" in found.sentence


@pytest.mark.parametrize(
    ("provider", "secret", "settings", "german"),
    [
        ("fcm", {}, {}, "Das Geheimnis enthält kein Dienstkonto: Nötig ist {"),
        ("fcm", {"service_account": {"project_id": "!"}}, {}, "Die project_id des Dienstkontos fehlt"),
        ("fcm", {"service_account": {"project_id": "shop"}}, {}, "Das Dienstkonto ist nicht lesbar: "),
        ("apns", {"key_id": "short"}, {}, "key_id muss aus den zehn Buchstaben und Ziffern bestehen"),
        (
            "apns",
            {"key_id": "AB12CD34EF", "team_id": "AB12CD34EG"},
            {},
            "Die Einstellungen brauchen ein Topic, die Bundle-ID der App: {",
        ),
        (
            "apns",
            {"key_id": "AB12CD34EF", "team_id": "AB12CD34EG", "private_key": "x"},
            {"topic": "com.example.app"},
            "Der private Schlüssel ist nicht verwendbar: ",
        ),
        ("apns", {"certificate": "x"}, {}, "Das Zertifikat oder sein privater Schlüssel ist nicht lesbar: "),
        ("webpush", {"private_key": "x"}, {}, "Die Einstellungen brauchen ein Subject"),
        (
            "webpush",
            {"private_key": "x"},
            {"subject": "mailto:push@example.com"},
            "Der private Schlüssel ist nicht lesbar: ",
        ),
    ],
)
def test_what_is_wrong_with_credentials_is_said_in_the_language_of_whoever_asks(
    app: Application, provider: str, secret: dict[str, Any], settings: dict[str, str], german: str
) -> None:
    Credential.objects.all().delete()
    stored = Credential.objects.create(application=app, provider=provider, secret=secret, settings=settings)
    with override("de"):
        assert checking.check(stored).sentence.startswith(german)
    assert "%(" not in checking.check(stored).sentence


def test_a_check_is_noted(asked: world.FakeSender, app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    checking.check(of(app))
    assert of(app).checked_at is not None and of(app).refused_at is None
    answer(asked, CredentialError("permission_denied", "FCM refuses it."), monkeypatch)
    checking.check(of(app))
    assert of(app).refused_reason == "permission_denied"


def test_refused_credentials_leave_the_gate_open_while_the_application_has_others(
    asked: world.FakeSender, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Credential.objects.create(
        application=app, provider="fcm", slot=2, secret={"service_account": {}}
    )
    answer(asked, CredentialError("permission_denied", "FCM refuses it."), monkeypatch)
    assert "other credentials are used" in checking.check(second).sentence
    assert gates.state(app.pk, "fcm").state == Gate.State.OPEN
    checking.check(of(app))
    assert gates.state(app.pk, "fcm").state == Gate.State.SHUT


def test_the_doctor_asks_for_every_application(
    asked: world.FakeSender, app: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    other = world.application("other")
    Credential.objects.create(application=other, provider="apns", secret={})
    call_command("doctor", "providers")
    said = capsys.readouterr().out
    assert "shop fcm: accepted" in said and "other apns: accepted" in said
    assert "2 credentials, all accepted." in said


def test_the_doctor_ends_with_an_error_when_one_is_refused(
    asked: world.FakeSender,
    app: Application,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(asked, CredentialError("permission_denied", "FCM refuses it."), monkeypatch)
    with pytest.raises(CommandError, match="1 of 1") as error:
        call_command("doctor", "providers", "--application", "shop")
    assert error.value.returncode == 1
    assert "shop fcm: NOT ACCEPTED (permission_denied). FCM refuses it." in capsys.readouterr().out


def test_the_doctor_knows_the_applications() -> None:
    with pytest.raises(CommandError, match="no application 'nowhere'"):
        call_command("doctor", "providers", "--application", "nowhere")
