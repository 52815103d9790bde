"""Guessing passwords: locked after ten, for that account from that address alone, with a page that says so."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def staff(settings: Any) -> None:
    settings.AXES_ENABLED = True
    for name in ("eva", "anton"):
        User.objects.create_user(name, password="a long word to sign in with", is_staff=True)


def sign_in(name: str, password: str, address: str = "192.0.2.1") -> Any:
    return Client().post(
        reverse("admin:login"), {"username": name, "password": password}, REMOTE_ADDR=address
    )


def test_ten_wrong_passwords_lock_and_say_for_how_long() -> None:
    for _ in range(9):
        assert sign_in("eva", "wrong").status_code == 200
    locked = sign_in("eva", "wrong")
    assert (locked.status_code, locked["Retry-After"]) == (429, "900")
    assert "Try again in 15 minutes." in locked.content.decode()
    assert sign_in("eva", "a long word to sign in with").status_code == 429


def test_others_and_other_places_are_not_locked_with_it() -> None:
    for _ in range(10):
        sign_in("eva", "wrong")
    assert sign_in("anton", "a long word to sign in with").status_code == 302
    assert sign_in("eva", "a long word to sign in with", address="192.0.2.2").status_code == 302


def test_behind_a_proxy_the_address_it_saw_counts(settings: Any) -> None:
    settings.BEHIND_TLS = True
    named = {"username": "eva", "password": "wrong"}
    for _ in range(10):
        Client().post(reverse("admin:login"), named, HTTP_X_FORWARDED_FOR="6.6.6.6, 192.0.2.1")
    right = {"username": "eva", "password": "a long word to sign in with"}
    for address, status in (("192.0.2.1", 429), ("192.0.2.9", 302)):
        answer = Client().post(
            reverse("admin:login"),
            right,
            HTTP_X_FORWARDED_FOR=f"6.6.6.6, {address}",
            HTTP_X_FORWARDED_PROTO="https",
        )
        assert answer.status_code == status
