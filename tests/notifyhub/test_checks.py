import certifi
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


def test_a_second_factor_that_is_misspelt_is_found(settings):
    settings.SECOND_FACTOR = "requird"
    (message,) = checks.check_secrets(None)
    assert message.id == "notifyhub.E015" and "'requird'" in message.msg


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
    ("name", "value", "code", "said"),
    [
        ("PROVIDER_PROXY", "proxy.example:3128", "E012", "must begin with one of http://, "),
        ("PROVIDER_PROXY", "ftp://proxy.example:21", "E012", "must begin with one of http://, "),
        ("PROVIDER_PROXY", "http://:3128", "E012", "names no host"),
        ("PROVIDER_PROXY", "http://proxy.example:none", "E012", "a port that is none"),
        ("PROVIDER_PROXY", "http://proxy.example:70000", "E012", "a port that is none"),
        ("PROVIDER_PROXY", "http://proxy.example", "E012", "has no port"),
        ("PROVIDER_PROXY", "http://proxy.example:3128/path", "E012", "has no path"),
        ("PROVIDER_CA_FILE", "/nowhere/ca.pem", "E013", "/nowhere/ca.pem: No such file"),
        ("PROVIDER_CA_FILE", __file__, "E013", "holds no certificate"),
        ("PROVIDER_SECONDS", 0.0, "E014", "from 1 to 50 seconds, not 0"),
        ("PROVIDER_SECONDS", 3_600.0, "E014", "from 1 to 50 seconds"),
        ("PROVIDER_CONNECTION_SECONDS", 1.0, "E014", "NOTIFYHUB_PROVIDER_CONNECTION_SECONDS"),
        ("PROVIDER_PING_SECONDS", -5.0, "E014", "NOTIFYHUB_PROVIDER_PING_SECONDS"),
        ("PROVIDER_PING_SECONDS", float("nan"), "E014", "not nan"),
    ],
)
def test_a_way_to_the_providers_that_cannot_work_is_found(settings, name, value, code, said):
    assert checks.check_providers(None) == []
    setattr(settings, name, value)
    (message,) = checks.check_providers(None)
    assert message.id == f"notifyhub.{code}"
    assert said in message.msg
    assert message.hint


def test_a_proxy_with_a_password_and_a_file_of_authorities_are_taken(settings, tmp_path):
    settings.PROVIDER_PROXY = "http://name:pass%3Aword@proxy.example:3128"
    settings.PROVIDER_CA_FILE = certifi.where()
    assert checks.check_providers(None) == []
    settings.PROVIDER_PROXY = "socks5h://proxy.example:1080/"
    assert checks.check_providers(None) == []


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
