from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.apns.identity import apns_id
from delivery.senders.aps import collapse_id


@given(run=st.uuids(), subscriber=st.text(), device=st.integers(0, 2**63))
def test_the_apns_id_is_a_uuid_of_the_notifications_kind(run: UUID, subscriber: str, device: int) -> None:
    notification = uuid5(run, subscriber)
    identity = UUID(made := apns_id(str(notification), device))
    assert made == str(identity)
    assert (identity.version, identity.variant) == (notification.version, notification.variant)


@given(notification=st.uuids(), devices=st.sets(st.integers(0, 2**48 - 1), min_size=2, max_size=2))
def test_two_devices_of_a_person_have_two_ids_and_a_repeat_the_same(
    notification: UUID, devices: set[int]
) -> None:
    ids = [apns_id(str(notification), device) for device in devices]
    assert len(set(ids)) == 2
    assert ids == [apns_id(str(notification), device) for device in devices]


@pytest.mark.parametrize("identity", ["score", "a b", "x" * 64, "0190f3c2-0000-7000-8000-000000000002"])
def test_an_identity_that_fits_stays_as_it_is(identity: str) -> None:
    assert collapse_id(identity) == identity


@given(identity=st.text(st.characters(codec="utf-8"), min_size=1))
def test_every_identity_becomes_a_header_value_of_64_bytes(identity: str) -> None:
    value = collapse_id(identity)
    assert value.isascii() and value.isprintable() and value.strip() == value and 0 < len(value) <= 64


def test_a_line_break_cannot_make_another_header() -> None:
    assert "\n" not in collapse_id("a\r\napns-priority: 10")


def test_long_identities_that_differ_stay_different() -> None:
    assert collapse_id("x" * 65) == collapse_id("x" * 65) != collapse_id("x" * 66)
