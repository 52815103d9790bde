"""A run's pace: never over the rate, rising, and within the hours of the day."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from delivery.policy import throttle
from delivery.snapshot import Policy
from tests.delivery.policy.facts import NOW


def paced(policy: Policy, pages: int, delays: list[float], zone: str = "UTC") -> list[tuple[float, int]]:
    """Work pages one after the other, each a little late; return when each began, and its people."""
    free_at, now, begun = 0.0, NOW, []
    size = throttle.page_size(policy, 500)
    for number in range(pages):
        slot = throttle.slot(policy, free_at=free_at, now=now, people=size, started=NOW, zone=zone)
        free_at = slot.following
        now = max(now, slot.begins) + delays[number % len(delays)]
        begun.append((now, size))
    return begun


@given(
    rate=st.integers(1, 2_000),
    per=st.sampled_from(["second", "minute"]),
    delays=st.lists(st.floats(0, 1.0), min_size=1, max_size=5),
)
def test_no_span_sees_more_than_the_rate(rate: int, per: str, delays: list[float]) -> None:
    policy = Policy(rate=rate, rate_per=per)
    begun = paced(policy, 40, delays)
    each = throttle.per_second(policy)
    slack = throttle.CATCH_UP + max(delays) + 0.001
    for first in range(len(begun)):
        for last in range(first, len(begun)):
            span = begun[last][0] - begun[first][0] + slack
            assert sum(people for _, people in begun[first:last]) <= each * span


def test_pages_that_are_punctual_keep_the_rate() -> None:
    begun = paced(Policy(rate=100), 31, [0.2])
    assert sum(people for _, people in begun[1:]) / (begun[-1][0] - begun[0][0]) == pytest.approx(
        100, rel=0.02
    )


def test_a_page_holds_no_more_than_a_second_may_see() -> None:
    assert throttle.page_size(Policy(), 500) == 500
    assert throttle.page_size(Policy(rate=100), 500) == 100
    assert throttle.page_size(Policy(rate=30, rate_per="minute"), 500) == 1


def test_a_rate_rises_to_its_whole() -> None:
    policy = Policy(rate=100, ramp=100)
    spans = []
    for elapsed in (0, 50, 200):
        begins, following = throttle.slot(
            policy, free_at=NOW + elapsed, now=NOW + elapsed, people=100, started=NOW, zone="UTC"
        )
        spans.append(following - begins)
    assert spans == [pytest.approx(20), pytest.approx(2), pytest.approx(1)]


def test_a_slot_lies_within_the_window() -> None:
    policy = Policy(rate=1, window_start="12:30", window_end="13:00")
    ask = {"started": NOW, "zone": "UTC", "people": 1}
    assert throttle.slot(policy, free_at=0, now=NOW, **ask).begins == NOW + 1_800
    late = throttle.slot(policy, free_at=NOW + 3_600, now=NOW + 3_000, **ask)
    assert late == (NOW + 1_800 + 86_400, NOW + 1_801 + 86_400)


def test_a_window_holds_as_many_as_its_rate_allows() -> None:
    hour = Policy(rate=1_000, rate_per="minute", window_start="12:00", window_end="13:00")
    assert throttle.fits(hour, started=NOW, zone="UTC") == 60_000
    assert throttle.fits(hour, started=NOW + 1_800, zone="UTC") == 30_000
    assert throttle.fits(hour, started=NOW + 3_600, zone="UTC") == 60_000, "that is tomorrow's"
    assert throttle.fits(Policy(rate=5), started=NOW, zone="UTC") is None
    assert throttle.fits(Policy(window_end="13:00"), started=NOW, zone="UTC") is None


@example(rate=1, ramp=0, minutes=8)  # 480 people, in steps of more than one and fewer than two
@given(rate=st.integers(1, 500), ramp=st.sampled_from([0, 60, 1_800, 86_400]), minutes=st.integers(1, 59))
def test_what_fits_takes_until_the_window_closes(rate: int, ramp: int, minutes: int) -> None:
    policy = Policy(rate=rate, ramp=ramp, window_start="12:00", window_end=f"12:{minutes:02}")
    room = throttle.fits(policy, started=NOW, zone="UTC")
    assert room is not None
    free = Policy(rate=rate, ramp=ramp)
    taken = throttle.duration(free, room, started=NOW, zone="UTC")
    assert taken == pytest.approx(minutes * 60, rel=0.06, abs=5 + 2 * 20 / rate)


def test_the_duration_counts_the_rise_and_the_nights() -> None:
    assert throttle.duration(Policy(), 10_000, started=NOW, zone="UTC") == 0
    assert throttle.duration(Policy(rate=100), 10_000, started=NOW, zone="UTC") == pytest.approx(
        100, rel=0.02
    )
    rising = throttle.duration(Policy(rate=100, ramp=60), 10_000, started=NOW, zone="UTC")
    assert 120 < rising < 170
    nights = Policy(rate=1, window_end="13:00")
    assert throttle.duration(nights, 7_200, started=NOW, zone="UTC") == pytest.approx(90_000, rel=0.02)
