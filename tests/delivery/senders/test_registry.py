import subprocess
import sys

import pytest

from delivery.senders.contract import Sender
from delivery.senders.registry import sender_for
from delivery.senders.tokens import MemoryTokenStore


@pytest.mark.parametrize("provider", ["fcm", "apns", "webpush"])
def test_each_provider_has_its_sender(provider: str) -> None:
    sender: Sender = sender_for(provider, tokens=MemoryTokenStore())
    assert sender.provider == provider


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(LookupError, match="'pigeon'"):
        sender_for("pigeon", tokens=MemoryTokenStore())


@pytest.mark.parametrize("first", ["notifyhub", "delivery.senders.registry"])
def test_the_packages_under_apns2_can_be_imported_afterwards(first: str) -> None:
    program = f"import {first}, h2.connection, hyper, sys; assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
