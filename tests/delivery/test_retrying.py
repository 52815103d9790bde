"""When a message is tried again: the provider's word is kept, chance chooses otherwise, its time is the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import retrying
from delivery.retrying import Again

NOW = 1_800_000_000.0
attempts = st.integers(1, retrying.MAX_ATTEMPTS)
draws = st.floats(0, 1, exclude_max=True)


@given(attempts, draws, st.floats(0.01, 1e6))
def test_a_random_wait_ends_before_the_message_does(attempt: int, draw: float, left: float) -> None:
    due = retrying.due(attempt, now=NOW, draw=draw, retry_after=None, expires_at=NOW + left)
    assert due is not None
    assert NOW <= due <= NOW + min(left, retrying.BACKOFF_CAP)


@given(attempts, draws, st.floats(0, 1e4), st.one_of(st.none(), st.floats(1, 1e4)))
def test_what_the_provider_asks_for_is_kept_or_nothing_is_tried(
    attempt: int, draw: float, wait: float, left: float | None
) -> None:
    expires_at = None if left is None else NOW + left
    due = retrying.due(attempt, now=NOW, draw=draw, retry_after=wait, expires_at=expires_at)
    if expires_at is not None and NOW + wait >= expires_at:
        assert due is None
    else:
        assert due == NOW + wait


def test_the_span_of_chance_doubles_with_every_attempt_up_to_its_cap() -> None:
    def widest(attempt: int) -> float:
        due = retrying.due(attempt, now=0.0, draw=1.0, retry_after=None, expires_at=None)
        assert due is not None
        return due

    assert [widest(attempt) for attempt in range(1, 10)] == [4, 8, 16, 32, 64, 128, 256, 300, 300]


@pytest.mark.parametrize(("waves", "longest"), [(0, 2.5), (1, 4.5), (3, 16.5), (40, 30.5)])
def test_patience_grows_with_the_waves_and_has_an_end(waves: int, longest: float) -> None:
    assert retrying.patience(waves, draw=1.0) == longest
    assert retrying.patience(waves, draw=0.0) == 0.5


def test_equal_instants_and_attempts_make_one_parcel() -> None:
    made = retrying.grouped([(3, 2, 10.0), (1, 2, 10.0), (2, 1, 10.0), (4, 2, 11.0)])
    assert made == [Again(2, 10.0, [1, 3]), Again(1, 10.0, [2]), Again(2, 11.0, [4])]
