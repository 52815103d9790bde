"""One device's connection: order, repeats, acknowledgement, and live entries that come during a replay."""

import json
import time
import uuid
from typing import Any

from delivery import positions
from delivery.node import connection as connections
from delivery.node.connection import Connection, Piece


def piece(number: int, *, stamp: float = 0.0) -> Piece:
    identity = uuid.UUID(int=number)
    place = positions.position(stamp or 1_700_000_000 + number, identity.bytes)
    return identity.bytes, place, json.dumps({"n": number}).encode()


class Device:
    """A device at the other end: keeps the frames it was sent. It is a wire too."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.codes: list[int] = []
        self.waiting = 0
        self.connection = Connection(
            device=b"d" * 16,
            subscriber=uuid.uuid4(),
            application="a",
            platform="web",
            wire=self,
            close=self.close,
            catch_up=lambda: None,
        )

    def write(self, payload: bytes) -> None:
        self.frames.append(json.loads(payload))

    def close(self, code: int) -> None:
        self.codes.append(code)

    def listen(self, take: Any) -> None:
        return None

    @property
    def numbers(self) -> list[int]:
        return [entry["n"] for frame in self.frames for entry in frame.get("entries", ())]


def test_live_entries_wait_for_the_replay_and_come_once() -> None:
    device = Device()
    device.connection.deliver([piece(3), piece(2)])
    assert device.frames == []
    device.connection.write([piece(1), piece(2)])
    assert device.connection.go_live()
    device.connection.deliver([piece(4)])
    device.connection.deliver([piece(4)])
    assert device.numbers == [1, 2, 3, 4]
    assert [frame["seq"] for frame in device.frames] == [1, 2, 3]


def test_too_many_live_entries_during_a_replay_are_read_from_the_log_again() -> None:
    device = Device()
    for number in range(connections.HELD_LIMIT + 1):
        device.connection.deliver([piece(number)])
    assert not device.connection.go_live()
    assert device.frames == []
    assert device.connection.go_live()
    assert device.numbers == []


def test_an_acknowledgement_covers_every_frame_up_to_it_once() -> None:
    connection = Device().connection
    connection.write([piece(1), piece(2)])
    connection.write([piece(3)])
    connection.write([piece(4)])
    ids, mark = connection.acknowledge(2)
    assert ids == [piece(n)[0] for n in (1, 2, 3)]
    assert mark == piece(3)[1]
    assert not connection.settled
    assert connection.acknowledge(2) == ([], None)
    assert connection.acknowledge(99)[0] == [piece(4)[0]]
    assert connection.settled


def test_the_low_water_mark_stands_before_everything_that_is_not_acknowledged() -> None:
    connection = Device().connection
    connection.write([piece(9)])
    connection.write([piece(2)])  # live entries may come out of order
    connection.write([piece(5)])
    _, mark = connection.acknowledge(1)
    assert mark is not None
    assert piece(1)[1] < mark < piece(2)[1]
    _, mark = connection.acknowledge(3)
    assert mark == piece(5)[1]


def test_a_frames_cursor_stays_out_of_the_window_in_which_entries_may_still_appear() -> None:
    device = Device()
    device.connection.write([piece(1, stamp=time.time())])
    [frame] = device.frames
    age = time.time() - positions.stamp_of(positions.decode(frame["cursor"]))
    assert age >= positions.COMMIT_WINDOW


def test_a_frames_cursor_points_behind_its_last_entry_when_that_is_old_enough() -> None:
    device = Device()
    device.connection.write([piece(7), piece(3)])
    assert positions.decode(device.frames[0]["cursor"]) == piece(7)[1] == device.connection.safe


def test_what_is_remembered_of_a_connection_is_bounded_though_it_never_acknowledges() -> None:
    connection = Device().connection
    for number in range(connections.REMEMBERED + connections.UNACKNOWLEDGED):
        connection.write([piece(number)])
    assert len(connection._written) == connections.REMEMBERED
    ids, _ = connection.acknowledge(connection.seq)
    assert len(ids) == connections.UNACKNOWLEDGED


def test_a_device_that_does_not_read_is_told_to_come_back_and_closed() -> None:
    device = Device()
    device.connection.replaying = False
    device.waiting = connections.WAITING_LIMIT
    device.connection.deliver([piece(1)])
    device.waiting += 1
    for number in (2, 3, 4):
        device.connection.deliver([piece(number)])
    assert [frame["type"] for frame in device.frames] == ["entries", "resync"]
    assert device.codes == [1013]
