import json
from datetime import UTC, datetime

import pytest

from bench.bulk import fill, text_of
from devices.fields import token_digest
from devices.models import Application, Device, Subscriber


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\\N"),
        (True, "t"),
        (7, "7"),
        ("Zoë", "Zoë"),
        ("a\tb\\c\nd", "a\\tb\\\\c\\nd"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    ],
)
def test_values_are_escaped_as_copy_wants_them(value: object, text: str):
    assert text_of(value) == text


@pytest.mark.django_db
def test_rows_are_what_saving_would_have_made_of_them():
    application = Application.objects.create(slug="bulk", name="Bulk")
    first = fill(
        Subscriber(application=application, locale="de"),
        ("uid", "external_id", "attributes"),
        ((f"{number:032x}", f"p{number}", json.dumps({"n": number})) for number in range(3)),
    )
    fill(
        Device(application=application, provider="fcm", platform="android"),
        ("subscriber", "uid", "token"),
        ((first + number, f"{number:032x}", f"token-{number}") for number in range(2)),
    )
    last = Subscriber.objects.get(external_id="p2")
    assert (last.pk, last.uid.int, last.locale, last.attributes, last.consent) == (
        first + 2,
        2,
        "de",
        {"n": 2},
        True,
    )
    device = Device.objects.get(subscriber=first + 1)
    assert (device.token, device.token_digest, device.state) == ("token-1", token_digest("token-1"), "active")
