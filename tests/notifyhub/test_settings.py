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
