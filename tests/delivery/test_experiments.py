"""Who is in which arm: a draw that is stable, as large as the weights say, and independent between experiments."""

from collections import Counter
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.experiments import CONTROL, arms, told
from delivery.rendering import Renderer
from delivery.snapshot import Experiment, Snapshot, Text, Variant

PEOPLE = [uuid5(UUID(int=1), str(number)).bytes for number in range(20_000)]


def experiment(key: str = "one", control: int = 1_000, **weights: int) -> Experiment:
    return Experiment(key, [Variant(name, weight) for name, weight in weights.items()], control)


def test_arms_are_as_large_as_their_weights() -> None:
    arm = arms(experiment(A=1, B=3))
    counts = Counter(arm(person) for person in PEOPLE)
    assert counts[CONTROL] == pytest.approx(2_000, abs=150)
    assert counts["A"] == pytest.approx(4_500, abs=200)
    assert counts["B"] == pytest.approx(13_500, abs=250)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 10_000), st.integers(1, 100))
def test_the_draw_is_the_same_whenever_it_is_made(person: bytes, control: int, weight: int) -> None:
    first, second = (arms(experiment(control=control, A=weight, B=2)) for _ in range(2))
    assert first(person) == second(person) in {"A", "B", CONTROL}


def test_two_experiments_draw_apart() -> None:
    one, other = arms(experiment("one", 0, A=1, B=1)), arms(experiment("two", 0, A=1, B=1))
    both = Counter((one(person), other(person)) for person in PEOPLE)
    assert all(count == pytest.approx(5_000, abs=250) for count in both.values()) and len(both) == 4


def test_a_larger_control_group_keeps_everybody_it_had() -> None:
    small, large = arms(experiment(control=500, A=1)), arms(experiment(control=2_000, A=1))
    assert all(large(person) == CONTROL for person in PEOPLE if small(person) == CONTROL)


def test_with_a_winner_all_but_the_control_hear_it() -> None:
    given_ = experiment(A=1, B=1)
    before, after = arms(given_), arms(Experiment(given_.key, given_.variants, given_.control, winner="B"))
    assert {after(person) for person in PEOPLE} == {"B", CONTROL}
    assert all((before(person) == CONTROL) == (after(person) == CONTROL) for person in PEOPLE)


def test_nobody_is_told_with_a_control_of_everybody() -> None:
    arm = arms(experiment(control=10_000, A=1))
    assert {arm(person) for person in PEOPLE[:500]} == {CONTROL}


def test_a_variant_says_what_differs_and_the_rest_as_it_is() -> None:
    snapshot = Snapshot(
        texts={"en": Text(title="Sale", body="Today"), "de": Text(title="Verkauf", body="Heute")},
        experiment=Experiment("x", [Variant("A"), Variant("B", 1, {"en": Text(title="Last chance")})]),
    )
    assert told(snapshot, "A") is snapshot
    other = Renderer(told(snapshot, "B"))
    assert other.render("en", "", {}).title == "Last chance" and other.render("en", "", {}).body == "Today"
    assert other.render("de", "", {}).title == "Verkauf"
