import pytest

from bench import population
from devices.models import Provider


def test_rounding_leaves_nobody_without_a_device():
    assert population.shares(20_001) == {Provider.FCM: 9_000, Provider.APNS: 7_000, Provider.SOCKET: 4_001}


@pytest.mark.parametrize(("most", "opened"), [(None, 10), (0, 0), (3, 3), (7, 7), (10, 10), (99, 10)])
def test_so_many_sockets_are_open_as_was_said_and_they_are_spread(most: int | None, opened: int):
    holders = list(range(100, 110))
    found = population.spread(holders, most)
    assert len(set(found)) == opened
    assert set(found) <= set(holders)
    if opened == 3:
        assert found == [100, 103, 106]
