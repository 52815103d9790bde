"""API keys are shown once, compared by digest, and refused when they are over."""

from datetime import timedelta

import pytest
from django.utils import timezone

from devices import keys, short_memory
from devices.models import ApiKey, Application


@pytest.fixture
def application(db: None) -> Application:
    return Application.objects.create(name="Shop", slug="shop")


@pytest.fixture(autouse=True)
def _forget() -> None:
    keys._known.clear()


def test_a_minted_key_verifies_and_its_text_is_stored_nowhere(application: Application) -> None:
    key, text = keys.mint(
        application, name="shop", scopes=["events:write"], lanes=["bulk"], source_prefixes=["/shop/"]
    )
    assert text.startswith(f"nh_{key.prefix}_") and len(text) > 50
    found = keys.verify(text)
    assert found == key and found.application == application
    row = ApiKey.objects.values().get()
    secret = text.split("_", 2)[2]
    assert not any(secret in str(value) for value in row.values())


def test_any_other_text_is_refused(application: Application) -> None:
    key, text = keys.mint(application, name="shop", scopes=[])
    for wrong in (
        text + "x",
        text[:-1],
        f"nh_{key.prefix}_",
        "nh_",
        "",
        "nh_\x00",
        text.upper(),
        "x" * 10_000,
    ):
        with pytest.raises(keys.ApiKeyError):
            keys.verify(wrong)


def test_an_expired_key_is_refused_at_once(application: Application) -> None:
    _, text = keys.mint(
        application, name="shop", scopes=[], expires_at=timezone.now() + timedelta(milliseconds=300)
    )
    key = keys.verify(text)
    key.expires_at = timezone.now()
    with pytest.raises(keys.ApiKeyError, match="expired"):
        keys.verify(text)


def test_a_revoked_key_is_refused_within_a_second(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = keys.mint(application, name="shop", scopes=[])
    keys.verify(text)
    ApiKey.objects.update(revoked_at=timezone.now())
    assert keys._known.seconds <= 1
    later = short_memory.time.monotonic() + 1.0
    monkeypatch.setattr(short_memory.time, "monotonic", lambda: later)
    with pytest.raises(keys.ApiKeyError, match="revoked"):
        keys.verify(text)


def test_use_is_noted_but_not_at_every_request(application: Application) -> None:
    _, text = keys.mint(application, name="shop", scopes=[])
    keys.verify(text)
    first = ApiKey.objects.get().used_at
    assert first is not None
    keys._known.clear()
    keys.verify(text)
    assert ApiKey.objects.get().used_at == first


def test_unknown_scopes_and_lanes_are_refused(application: Application) -> None:
    with pytest.raises(ValueError, match="events:read"):
        keys.mint(application, name="x", scopes=["events:read"])
    with pytest.raises(ValueError, match="fast"):
        keys.mint(application, name="x", scopes=[], lanes=["fast"])
