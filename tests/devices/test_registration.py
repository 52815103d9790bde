"""A token is one device's address, and derived columns follow however a row is written."""

import pytest
from django.db import IntegrityError, transaction

from devices import registration
from devices.fields import token_digest
from devices.models import Application, Device, Subscriber
from devices.versions import in_order


@pytest.fixture
def holder(db: None) -> Subscriber:
    application = Application.objects.create(name="Shop", slug="shop")
    return Subscriber.objects.create(application=application, external_id="ada")


def device(holder: Subscriber, **values: str) -> Device:
    fields = {"platform": "android", "provider": "fcm", "token": "t", **values}
    return Device(application=holder.application, subscriber=holder, **fields)


def test_digest_and_version_follow_in_bulk_too(holder: Subscriber) -> None:
    Device.objects.bulk_create([device(holder, app_version="2.10")])
    row = Device.objects.get()
    assert (row.token_digest, row.version_order) == (token_digest("t"), "000002.000010.000000.000000")


def test_two_active_devices_never_have_one_token(holder: Subscriber) -> None:
    device(holder).save()
    with pytest.raises(IntegrityError), transaction.atomic():
        device(holder).save()
    device(holder, token="", provider="socket").save()
    device(holder, token="", provider="socket").save()


def test_a_registered_device_is_active_again(holder: Subscriber) -> None:
    row = device(holder)
    row.save()
    registration.retire(row, Device.Retired.REMOVED)
    again, new = registration.register(holder.application, holder, row.uid, {}, may_move=False)
    assert not new and again.state == "active" and not again.retired_reason and again.retired_at is None
    assert again.registered_at > row.registered_at


@pytest.mark.parametrize(
    "versions", [["1", "1.0.1", "1.9", "1.10", "2.0-beta.3", "10"], ["v1.2", "1.2.3.4", "1.3"]]
)
def test_versions_sort_by_their_numbers(versions: list[str]) -> None:
    keys = [in_order(version) for version in versions]
    assert keys == sorted(keys) and len({len(key) for key in keys}) == 1


def test_what_is_no_version_has_no_order() -> None:
    assert [in_order(text) for text in ("", "latest", "-1")] == ["", "", ""]
    assert in_order("2.0") == in_order("2")
