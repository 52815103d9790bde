"""What an experiment's numbers show: properties of the intervals, published values, and the rule for a winner."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.statistics import Arm, decide, difference, lift, share

arms = st.integers(1, 100_000).flatmap(
    lambda people: st.builds(Arm, st.just("A"), st.just(people), st.integers(0, people))
)


@given(arms)
def test_a_share_lies_within_its_interval_and_that_within_what_is_possible(arm: Arm) -> None:
    found = share(arm)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.high > found.low


@given(arms)
def test_ten_times_the_people_make_the_interval_narrower(arm: Arm) -> None:
    more = share(Arm("A", arm.people * 10, arm.did * 10))
    few = share(arm)
    assert more.high - more.low < few.high - few.low


@given(arms)
def test_who_did_and_who_did_not_mirror_each_other(arm: Arm) -> None:
    did, did_not = share(arm), share(Arm("A", arm.people, arm.people - arm.did))
    assert did.low == pytest.approx(1 - did_not.high, abs=1e-9)


@given(arms, arms)
def test_a_difference_turned_round_has_the_other_sign(one: Arm, other: Arm) -> None:
    there, back = difference(one, other), difference(other, one)
    assert -1.0 <= there.low <= there.value <= there.high <= 1.0
    assert there.low == pytest.approx(-back.high, abs=1e-12)


@given(arms)
def test_an_arm_does_not_differ_from_itself(arm: Arm) -> None:
    found = difference(arm, arm)
    assert found.value == 0.0 and found.low < 0.0 < found.high


@given(st.lists(arms, min_size=2, max_size=6))
def test_a_winner_is_ahead_of_every_other_beyond_chance(some: list[Arm]) -> None:
    named = [Arm(str(number), arm.people, arm.did) for number, arm in enumerate(some)]
    decision = decide(named)
    if decision.winner:
        best = next(arm for arm in named if arm.key == decision.winner)
        assert all(difference(best, other).low > 0 for other in named if other is not best)
    assert decision.because


def test_the_intervals_are_those_that_were_published() -> None:
    # Newcombe, table II, method 10: 56/70 − 48/80, and 9/10 − 3/10
    found = difference(Arm("A", 70, 56), Arm("B", 80, 48))
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    found = difference(Arm("A", 10, 9), Arm("B", 10, 3))
    assert (found.low, found.high) == (pytest.approx(0.1705, abs=5e-5), pytest.approx(0.8090, abs=5e-5))
    # Wilson's for 81 of 263 (Newcombe, Statistics in Medicine 17, 857–872, table I): 0.2553 to 0.3662
    one = share(Arm("A", 263, 81))
    assert (one.low, one.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_there_is_no_winner_without_evidence() -> None:
    assert not decide([Arm("A", 1_000, 100)]).winner
    few = decide([Arm("A", 99, 50), Arm("B", 1_000, 1)])
    assert not few.winner and "A told fewer than 100" in few.because
    assert "fewer than 10" in decide([Arm("A", 5_000, 8), Arm("B", 5_000, 0)]).because
    near = decide([Arm("A", 1_000, 110), Arm("B", 1_000, 100)])
    assert not near.winner and "may be chance" in near.because
    assert decide([Arm("A", 10_000, 1_200), Arm("B", 10_000, 1_000)]).winner == "A"


def test_more_comparisons_ask_for_more_evidence() -> None:
    # a difference that is just beyond chance between two is not enough among five
    best, rest = Arm("A", 1_000, 130), Arm("B", 1_000, 101)
    assert decide([best, rest]).winner == "A"
    assert not decide([best, *(Arm(key, 1_000, 101) for key in "BCDE")]).winner


def test_a_lift_is_told_only_over_something() -> None:
    assert lift(Arm("A", 100, 12), Arm("control", 100, 10)) == pytest.approx(0.2)
    assert lift(Arm("A", 100, 12), Arm("control", 100, 0)) is None


def test_of_nobody_everything_is_possible() -> None:
    nobody = Arm("A", 0, 0)
    assert (share(nobody).low, share(nobody).high) == (0.0, 1.0)
    found = difference(nobody, Arm("B", 10, 5))
    assert (found.low, found.high) == (-1.0, 1.0) and not math.isnan(found.value)
