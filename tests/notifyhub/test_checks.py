import pytest

from notifyhub import checks
from notifyhub import settings as module


def _ids(found):
    return [message.id for message in found]


def test_good_settings_pass():
    assert checks.check_secrets(None) == []
    assert checks.check_servers(None) == []


def test_an_empty_key_ring_is_found_with_the_command_that_makes_one(settings):
    settings.KEY_RING = []
    (message,) = checks.check_secrets(None)
    assert message.id == "notifyhub.E001"
    assert "manage.py prepare" in message.hint


def test_a_key_that_is_none_is_named_by_its_number(settings):
    settings.KEY_RING = [*settings.KEY_RING, "not a key"]
    (message,) = checks.check_secrets(None)
    assert message.id == "notifyhub.E002"
    assert "Key 2" in message.msg


def test_a_missing_secret_key_is_found(monkeypatch):
    monkeypatch.setattr(module, "SECRET_KEY", "")
    assert _ids(checks.check_secrets(None)) == ["notifyhub.E003"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("REDIS_URL", "http://example.com", "notifyhub.E004"),
        ("REDIS_URL", "", "notifyhub.E004"),
        ("BROKER_URL", "kafka://example.com", "notifyhub.E005"),
        ("LOG_STORE", "mongo", "notifyhub.E006"),
        ("PAGE_PEOPLE", 0, "notifyhub.E007"),
        ("LEASE_SECONDS", 1, "notifyhub.E007"),
    ],
)
def test_a_setting_that_cannot_work_is_found(settings, name, value, code):
    setattr(settings, name, value)
    found = checks.check_servers(None)
    assert _ids(found) == [code]
    assert found[0].hint


def test_an_embedded_redis_without_a_password_is_a_warning(settings):
    settings.REDIS_EMBEDDED, settings.REDIS_PASSWORD = True, ""
    assert _ids(checks.check_servers(None)) == ["notifyhub.W001"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LANE_RESERVES", {"bulk": 1.0}, "must be from 0 to 0.95, not 1"),
        ("LANE_RESERVES", {"slow": 0.1}, "slow is no lane"),
        ("SILENCE_SECONDS", {"high": -1.0}, "must be from 0 to 3600"),
        ("BRAKE_SHARE", 0.0, "NOTIFYHUB_BRAKE_SHARE"),
        ("BRAKE_MESSAGES", 0, "NOTIFYHUB_BRAKE_MESSAGES"),
    ],
)
def test_what_is_set_by_lane_names_lanes_and_can_work(settings, name, value, said):
    assert checks.check_lanes(None) == []
    setattr(settings, name, value)
    (message,) = checks.check_lanes(None)
    assert message.id == "notifyhub.E008"
    assert said in message.msg
    assert message.hint
