"""What goes wrong on purpose: the waits have the percentiles that were asked for, cuts come when they are due."""

import random

import msgspec
import pytest

from fleet.faults import Faults, Latency


def test_waits_have_the_percentiles_that_were_asked_for():
    random.seed(7)
    faults = Faults(latency=Latency(p50=40.0, p99=400.0), latency_ms=5.0)
    waits = sorted(faults.wait() * 1000 - 5.0 for _ in range(20_000))
    assert waits[10_000] == pytest.approx(40.0, rel=0.05)
    assert waits[19_800] == pytest.approx(400.0, rel=0.15)
    assert Faults(latency_ms=5.0).wait() == 0.005


@pytest.mark.parametrize("bad", [b'{"p50": 0, "p99": 1}', b'{"p50": 9, "p99": 1}', b'{"p50": 1}'])
def test_a_latency_that_cannot_be_is_refused(bad):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(bad, type=Latency)


def test_a_cut_comes_once_at_the_send_that_was_chosen():
    faults = Faults(cut_after=3)
    assert [faults.take_cut() for _ in range(5)] == [False, False, True, False, False]
