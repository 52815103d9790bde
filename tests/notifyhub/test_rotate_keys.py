"""`manage.py rotate_keys`: every secret goes under the newest key, once, and none is lost."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from delivery.models import Credential
from devices import secrets
from devices.models import Application, SigningKey
from devices.secrets import SecretError

pytestmark = pytest.mark.django_db
OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def stored(settings: Any) -> Application:
    """Two credentials and a signing key, written with the old key."""
    settings.KEY_RING = [OLD]
    app = Application.objects.create(name="Shop", slug="shop")
    for slot in (1, 2):
        Credential.objects.create(application=app, provider="fcm", slot=slot, secret={"slot": slot})
    SigningKey.objects.create(application=app, kid="k", jwk={"k": "x"})
    settings.KEY_RING = [NEW, OLD]
    return app


def texts() -> list[str]:
    """Return what stands in the database as credentials."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM delivery_credential ORDER BY slot")
        return [row[0] for row in cursor.fetchall()]


def test_every_secret_is_encrypted_anew_and_the_old_key_can_go(
    stored: Application, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("rotate_keys")
    said = capsys.readouterr().out
    assert "delivery.Credential.secret: 2 encrypted anew, 0 under the newest key already" in said
    assert "devices.SigningKey.jwk: 1 encrypted anew" in said
    settings.KEY_RING = [NEW]
    assert [row.secret for row in Credential.objects.order_by("slot")] == [{"slot": 1}, {"slot": 2}]
    assert SigningKey.objects.get().jwk == {"k": "x"}


def test_a_repeat_changes_nothing(stored: Application, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("rotate_keys")
    before = texts()
    capsys.readouterr()
    call_command("rotate_keys")
    assert (
        "delivery.Credential.secret: 0 encrypted anew, 2 under the newest key already"
        in capsys.readouterr().out
    )
    assert texts() == before


def test_a_check_writes_nothing_and_ends_with_an_error_until_all_is_done(stored: Application) -> None:
    before = texts()
    with pytest.raises(CommandError, match="3 secrets are under an older key"):
        call_command("rotate_keys", "--check")
    assert texts() == before
    call_command("rotate_keys")
    call_command("rotate_keys", "--check")


def test_a_secret_that_no_key_can_read_is_named_and_the_others_are_rotated(
    stored: Application, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.KEY_RING = [Fernet.generate_key().decode()]
    lost = Credential.objects.create(application=stored, provider="apns", secret={"slot": 3})
    settings.KEY_RING = [NEW, OLD]
    with pytest.raises(CommandError, match="1 secrets cannot be read"):
        call_command("rotate_keys")
    assert f"of the row {lost.pk}" in capsys.readouterr().out
    settings.KEY_RING = [NEW]
    assert [row.secret for row in Credential.objects.filter(provider="fcm").order_by("slot")] == [
        {"slot": 1},
        {"slot": 2},
    ]
    with pytest.raises(SecretError):
        Credential.objects.get(provider="apns")


def test_what_is_written_meanwhile_stays(stored: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    readable, first = secrets._readable, texts()[0]

    def meanwhile(key: Fernet, text: str) -> bool:
        if text == first:
            Credential.objects.filter(slot=1).update(secret={"slot": "new"})
        return readable(key, text)

    monkeypatch.setattr(secrets, "_readable", meanwhile)
    call_command("rotate_keys")
    assert Credential.objects.get(slot=1).secret == {"slot": "new"}
