from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.senders.apns.identity import apns_id
from delivery.senders.aps import collapse_id


@given(notification=st.uuids(), device=st.integers(0, 2**63))
def test_the_apns_id_is_the_uuid5_of_notification_and_device(notification: UUID, device: int) -> None:
    assert apns_id(str(notification), device) == str(uuid5(notification, str(device)))


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
