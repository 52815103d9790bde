"""Identity, place and cursor of log entries."""

import uuid
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import positions

STAMPS = st.floats(min_value=0, max_value=4_000_000_000)
IDS = st.uuids()


def cassandra_order(value: uuid.UUID) -> tuple[int, list[int]]:
    """Return what Cassandra's TimeUUIDType compares: the timestamp, then the low bytes with sign."""
    low = [byte - 256 if byte > 127 else byte for byte in value.bytes[8:]]
    return value.time, low


@given(st.lists(st.tuples(STAMPS, IDS), min_size=2, max_size=8))
def test_positions_sort_as_cassandra_sorts_their_timeuuids(items: list[tuple[float, uuid.UUID]]) -> None:
    places = [positions.position(stamp, identity.bytes) for stamp, identity in items]
    assert sorted(places) == sorted(places, key=lambda place: cassandra_order(positions.to_timeuuid(place)))


@given(STAMPS, IDS)
def test_a_position_survives_the_way_through_a_timeuuid(stamp: float, identity: uuid.UUID) -> None:
    place = positions.position(stamp, identity.bytes)
    value = positions.to_timeuuid(place)
    assert value.version == 1
    assert positions.from_timeuuid(value) == place
    assert abs(positions.stamp_of(place) - stamp) < 0.001


@given(STAMPS, IDS)
def test_a_floor_stands_before_every_entry_stamped_then_or_later(stamp: float, identity: uuid.UUID) -> None:
    assert positions.floor(stamp) < positions.position(stamp, identity.bytes)


@given(STAMPS, IDS, STAMPS)
def test_a_cursor_never_stands_within_the_commit_window(
    stamp: float, identity: uuid.UUID, now: float
) -> None:
    place = positions.decode(positions.cursor(positions.position(stamp, identity.bytes), now))
    assert place <= positions.floor(now - positions.COMMIT_WINDOW)


@pytest.mark.parametrize("text", ["", "x", "AAAA", "ü", "!" * 24, "A" * 400])
def test_a_cursor_that_the_server_did_not_make_is_refused(text: str) -> None:
    with pytest.raises(positions.CursorError):
        positions.decode(text)


def test_the_identity_depends_on_run_subscriber_and_occurrence_alone() -> None:
    run, subscriber = uuid.uuid4(), uuid.uuid4()
    same = positions.notification_id(run, subscriber, "a")
    assert same == uuid.uuid5(run, subscriber.hex + "a")
    assert positions.text_of(same.bytes) == str(same)
    assert same == positions.notification_id(run, subscriber, "a")
    assert same != positions.notification_id(run, subscriber, "b")
    assert same != positions.notification_id(uuid.uuid4(), subscriber, "a")


@given(STAMPS, st.lists(IDS, max_size=60))
def test_a_cursor_names_the_newest_that_were_seen_beside_its_place(
    stamp: float, ids: list[uuid.UUID]
) -> None:
    place = positions.position(stamp, uuid.uuid4().bytes)
    text = positions.encode(place, [one.bytes for one in ids])
    found, seen = positions.decode_seen(text)
    assert found == positions.decode(text) == place
    assert all(seen(one.bytes) for one in ids[-positions.SEEN :])
    assert not seen(uuid.uuid4().bytes)
    assert len(text) <= 400


def test_a_cursor_that_names_too_many_or_half_an_entry_is_refused() -> None:
    for tail in (b"x", b"x" * 5, b"x" * 7, b"x" * 6 * (positions.SEEN + 1)):
        text = urlsafe_b64encode(b"\x02" + bytes(16) + tail).decode().rstrip("=")
        with pytest.raises(positions.CursorError):
            positions.decode(text)
