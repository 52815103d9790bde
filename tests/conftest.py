"""The environment of every test: made before Django reads its settings, so that no test meets real data."""

import atexit
import gc
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Generator

import hypothesis
import pytest
from cryptography.fernet import Fernet

_KEPT = ("NOTIFYHUB_SERVERS_DIR", "NOTIFYHUB_DRAMA_PEOPLE", "NOTIFYHUB_PLAN_SEED")
"""What is said to the tests and not to the hub."""
_OURS = ("NOTIFYHUB_", "DATABASE_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS")


def _make_environment() -> None:
    """Forget what the shell says about the hub; point every setting at a folder that goes with the tests."""
    for name in [name for name in os.environ if name.startswith(_OURS) and name not in _KEPT]:
        del os.environ[name]
    folder = tempfile.mkdtemp(prefix="notifyhub-tests-")
    os.mkdir(os.path.join(folder, "static"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="notifyhub.settings",
        SECRET_KEY="only for tests",
        NOTIFYHUB_KEY_RING=Fernet.generate_key().decode(),
        NOTIFYHUB_DATA_DIR=folder,
        # Nobody listens on port 1: a test without a server that talks to Redis fails at once.
        NOTIFYHUB_REDIS_URL="redis://127.0.0.1:1/0",
        NOTIFYHUB_BROKER_URL="memory://",
    )


_make_environment()

import django  # noqa: E402
from django.conf import settings  # noqa: E402

import notifyhub  # noqa: E402, F401  (prepares imports that apns2 and daphne need)
from devices import facts  # noqa: E402

django.setup()  # the folders' own conftests import models

from devices import known_attributes, known_zones  # noqa: E402

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Setting it reads the others too, with the environment above: pytest-django sets up only what has been configured.
# A password's digest is meant to be slow (half a second), and most tests that sign somebody in are not about that.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Do not look for rings of references among what stays to the end: the modules, and thousands of tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """Forget which facts are counted: the last test's applications had the same keys."""
    facts.forget_kinds()


pytest_plugins = [
    name
    for name in (
        "tests.servers.fixtures",
        "tests.browser.chromium",
        "tests.browser.admin_hub",
        "tests.pipeline.live_hub",
    )
    if importlib.util.find_spec(name)
]


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What a process remembers of an application's people belongs to a database that is gone."""
    known_attributes.forget()
    known_zones.forget()
