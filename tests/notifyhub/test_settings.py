"""The settings and their reference."""

import ast
import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifyhub.environment import Environment

ROOT = Path(__file__).resolve().parent.parent.parent


def _read_names() -> set[str]:
    """Return the environment variables that the settings module reads: the first argument of each env.…(…)."""
    tree = ast.parse((ROOT / "notifyhub" / "settings.py").read_text())
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and isinstance(node.args[0], ast.Constant)
    } | {"DATABASE_URL"}


def _documented_names() -> list[str]:
    text = (ROOT / "docs" / "reference" / "settings.md").read_text()
    return re.findall(r"^\| `([A-Z_]+)` \|", text, flags=re.MULTILINE)


def test_every_setting_is_documented_and_nothing_else():
    assert set(_documented_names()) == _read_names()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NOTIFYHUB_PROVIDER_SECONDS", "ten", "NOTIFYHUB_PROVIDER_SECONDS must be a number, not 'ten'"),
        ("NOTIFYHUB_PORT", "http", "NOTIFYHUB_PORT must be a whole number, not 'http'"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_by_its_name(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    read = Environment()
    with pytest.raises(ImproperlyConfigured, match=re.escape(said)):
        read.float(name, 1.0) if "SECONDS" in name else read.int(name, 1)
    assert read.float("NOTIFYHUB_NOT_SET", 2.5) == 2.5


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("bool", "perhaps", "X must be true or false, not 'perhaps'"),
        ("numbers", "bulk", "X must be as bulk=0.5,high=0.1, not 'bulk'"),
        ("numbers", "bulk=much", "X must be as bulk=0.5,high=0.1, not 'bulk=much'"),
        ("email", "mail.example.com", "X must be as smtp+tls://"),
        ("email", "smtp://mail.example.com:http", "X must be as smtp+tls://"),
        ("db", "mysql://a:sesame@host/name", "X must be as postgres://"),
        ("level", "loud", "X must be one of DEBUG, INFO"),
        ("port", "80000", "X must be from 1 to 65535, not 80000"),
        ("port", "0", "X must be from 1 to 65535, not 0"),
    ],
)
def test_a_word_that_cannot_be_used_is_refused_by_its_name(monkeypatch, way, value, said):
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured, match=re.escape(said)) as caught:
        getattr(Environment(), way)(*(("X", "INFO") if way in ("level", "db", "port") else ("X",)))
    assert "sesame" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused_by_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("X_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ImproperlyConfigured, match=r"X_FILE names .*nothing, which cannot be read"):
        Environment().str("X", "")


def test_words_that_can_be_used_are_read(monkeypatch):
    monkeypatch.setenv("X", "bulk=0.5,high=0.1")
    assert Environment().numbers("X") == {"bulk": 0.5, "high": 0.1}
    assert Environment().numbers("Y") == {}
    for text, value in (
        ("no", False),
        ("", False),
        ("Yes", True),
        ("1", True),
        ("True", True),
        ("false", False),
    ):
        monkeypatch.setenv("X", text)
        assert Environment().bool("X", not value) is value


def test_no_setting_is_documented_twice():
    assert len(_documented_names()) == len(set(_documented_names()))


def test_the_environment_is_read_in_one_file_only():
    readers = {
        str(path.relative_to(ROOT))
        for room in ("notifyhub", "campaigns", "delivery", "devices")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"environ(\.get\(|\[)[\"']NOTIFYHUB_(?!ROLE)", path.read_text())
    }
    assert readers == set()
