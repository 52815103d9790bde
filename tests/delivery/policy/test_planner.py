"""The planner's stages, one reason at a time."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import reasons
from delivery.policy import STAGES, Candidate, Circumstances, Defer, Drop, each, plan
from delivery.snapshot import Named
from devices.person import Person


def candidate(
    *, consent: bool = True, allowed: bool | None = None, expires_at: float | None = None, number: int = 1
) -> Candidate:
    person = Person(number, uuid.uuid4().bytes, f"s{number}", "", "", "{}", consent, allowed, [])
    return Candidate(person, Named(number, expires_at=expires_at), uuid.UUID(int=number).bytes)


@pytest.mark.parametrize(
    ("who", "circumstances", "reason"),
    [
        (candidate(), Circumstances(now=10), None),
        (candidate(consent=False), Circumstances(now=10), "no_consent"),
        (candidate(allowed=False), Circumstances(now=10, category="news"), "category_off"),
        (candidate(allowed=False), Circumstances(now=10), None),
        (candidate(), Circumstances(now=10, category="news", opt_in=True), "not_opted_in"),
        (candidate(allowed=True), Circumstances(now=10, category="news", opt_in=True), None),
        (candidate(expires_at=10), Circumstances(now=10), "expired"),
        (candidate(expires_at=11), Circumstances(now=10, expires_at=9), "expired"),
        (candidate(expires_at=11), Circumstances(now=10, expires_at=12), None),
    ],
)
def test_each_reason_stops_exactly_whom_it_means(
    who: Candidate, circumstances: Circumstances, reason: str | None
) -> None:
    result = plan([who], circumstances)
    assert [drop.reason for _, drop in result.dropped] == ([reason] if reason else [])
    assert result.passed == ([] if reason else [who])


def test_the_second_of_two_equal_notifications_is_dropped() -> None:
    result = plan([candidate(), candidate()], Circumstances(now=1))
    assert len(result.passed) == 1
    assert [drop.reason for _, drop in result.dropped] == ["duplicate"]


def test_people_are_deferred_to_their_instants() -> None:
    def by_number(who: Candidate, _: Circumstances) -> Defer | None:
        return Defer(100.0 * (who.person.id % 2)) if who.person.id < 4 else None

    result = plan(
        [candidate(number=n) for n in range(1, 6)], Circumstances(now=1), (*STAGES, each(by_number))
    )
    assert {until: len(put_off) for until, put_off in result.deferred.items()} == {100.0: 2, 0.0: 1}
    assert len(result.passed) == 2


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([None, True, False]), st.integers(0, 3)), max_size=30)
)
def test_every_candidate_ends_in_exactly_one_place(people: list[tuple[bool, bool | None, int]]) -> None:
    def sometimes(who: Candidate, _: Circumstances) -> Defer | Drop | None:
        return Defer(50.0) if who.person.id == 3 else None

    candidates = [candidate(consent=c, allowed=a, number=n) for c, a, n in people]
    result = plan(candidates, Circumstances(now=1, category="news"), (*STAGES, each(sometimes)))
    total = len(result.passed) + len(result.dropped) + sum(map(len, result.deferred.values()))
    assert total == len(candidates)
    assert all(drop.reason in reasons.STOPPED for _, drop in result.dropped)
