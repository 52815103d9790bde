"""A run's pace: never over the rate, rising, and within the hours of the day."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.policy import throttle
from delivery.snapshot import Policy
from tests.delivery.policy.facts import NOW, at


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


def test_after_the_end_of_the_day_it_goes_on_at_the_launchs_time_of_the_next() -> None:
    policy = Policy(rate=1, window_end="18:00")
    started = at("2026-03-28T09:00:00+01:00")
    for now, opens in [
        ("2026-03-28T17:59:59+01:00", "2026-03-28T17:59:59+01:00"),
        ("2026-03-28T18:00:00+01:00", "2026-03-29T09:00:00+02:00"),
        ("2026-03-29T03:00:00+02:00", "2026-03-29T09:00:00+02:00"),
        ("2026-03-29T12:00:00+02:00", "2026-03-29T12:00:00+02:00"),
    ]:
        assert throttle.opening(policy, at(now), started=started, zone="Europe/Berlin") == at(opens)


def test_a_window_may_go_over_midnight() -> None:
    policy, started = Policy(rate=1, window_end="02:00"), at("2026-06-15T20:00:00+00:00")
    for now, opens in [("2026-06-16T01:00", "2026-06-16T01:00"), ("2026-06-16T02:00", "2026-06-16T20:00")]:
        found = throttle.opening(policy, at(f"{now}:00+00:00"), started=started, zone="UTC")
        assert found == at(f"{opens}:00+00:00")


def test_the_duration_counts_the_rise_and_the_nights() -> None:
    assert throttle.duration(Policy(), 10_000, started=NOW, zone="UTC") == 0
    assert throttle.duration(Policy(rate=100), 10_000, started=NOW, zone="UTC") == pytest.approx(
        100, rel=0.02
    )
    rising = throttle.duration(Policy(rate=100, ramp=60), 10_000, started=NOW, zone="UTC")
    assert 120 < rising < 170
    nights = Policy(rate=1, window_end="13:00")
    assert throttle.duration(nights, 7_200, started=NOW, zone="UTC") == pytest.approx(90_000, rel=0.02)
