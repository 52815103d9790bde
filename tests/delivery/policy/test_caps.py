"""Frequency caps: places, and whom two campaigns that meet may still tell."""

import copy
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.policy import STAGES, Candidate, Circumstances, plan
from delivery.policy import jitter as jitters
from delivery.policy.caps import Ask, Full, InMemory, concerning
from delivery.policy.local_time import instant_in
from delivery.policy.quiet_hours import hours_at
from delivery.policy.verdicts import since_of, zone_of
from delivery.snapshot import Policy
from devices.frequency_caps import Cap, CapError, parse
from tests.delivery.policy.facts import NOW, candidate, changes

HOUR = 3600.0
DAILY = (Cap(None, 2, 24),)


def facts(now: float = NOW, **values: Any) -> Circumstances:
    return Circumstances(now=now, **{"caps": DAILY, "reservations": InMemory(), **values})


def test_a_full_cap_drops_with_its_numbers() -> None:
    here = facts()
    outcomes = [plan([candidate(notification=n)], here) for n in (1, 2, 3)]
    assert [len(one.passed) for one in outcomes] == [1, 1, 0]
    [(_, drop)] = outcomes[2].dropped
    assert (drop.reason, drop.detail) == ("capped", {"category": None, "count": 2, "hours": 24})


def test_a_full_cap_defers_to_when_it_has_room() -> None:
    here = facts(policy=Policy(capped="defer"))
    for number, hour in ((1, 0), (2, 5)):
        here.now = NOW + hour * HOUR
        assert plan([candidate(notification=number)], here).passed
    here.now = NOW + 6 * HOUR
    planned = plan([candidate(notification=3)], here)
    assert list(planned.deferred) == [NOW + 24 * HOUR] and planned.waits == {"capped": 1}
    here.now, here.seen = NOW + 24 * HOUR, set()
    assert plan([candidate(notification=3)], here).passed


def test_whom_a_cap_would_put_off_past_their_time_is_dropped() -> None:
    here = facts(policy=Policy(capped="defer"), expires_at=NOW + 23 * HOUR)
    for number in (1, 2):
        plan([candidate(notification=number)], here)
    assert [drop.reason for _, drop in plan([candidate(notification=3)], here).dropped] == ["capped"]


def test_those_who_are_put_off_are_gathered_at_few_instants() -> None:
    here = facts(policy=Policy(capped="defer"), caps=(Cap(None, 1, 24),))
    people = range(1, 401)
    for number in people:
        here.now = NOW + number * 7.3
        plan([candidate(number=number, notification=number)], here)
    here.now = NOW + HOUR
    planned = plan([candidate(number=n, notification=1000 + n) for n in people], here)
    assert sum(map(len, planned.deferred.values())) == 400
    assert len(planned.deferred) <= 5


def test_a_page_that_is_worked_again_keeps_its_places() -> None:
    here = facts()
    page = [candidate(number=n, notification=n) for n in (1, 2)]
    assert len(plan(page, here).passed) == 2
    here.seen.clear()
    assert len(plan(page, here).passed) == 2
    here.seen.clear()
    assert len(plan([candidate(number=1, notification=9)], here).passed) == 1


def test_who_is_held_has_a_place_at_the_instant_they_are_told() -> None:
    """Two campaigns in one night: only one of them is told in the morning."""
    night = datetime(2026, 6, 15, 23, 0, tzinfo=UTC).timestamp()
    here = facts(night, caps=(Cap(None, 1, 4),), quiet="22:00-08:00")
    first = plan([candidate(notification=1)], here)
    second = plan([candidate(notification=2)], here)
    assert [len(one) for one in first.deferred.values()] == [1]
    assert [drop.reason for _, drop in second.dropped] == ["capped"]
    [morning] = first.deferred
    here.now, here.seen = morning, set()
    assert plan([candidate(notification=1)], here).passed


def test_who_is_held_is_counted_by_the_morning_and_not_by_the_evening() -> None:
    evening = datetime(2026, 6, 15, 21, 0, tzinfo=UTC).timestamp()
    here = facts(evening, caps=(Cap(None, 1, 4),), quiet="22:00-08:00")
    assert plan([candidate(notification=1)], here).passed
    here.now = evening + 2 * HOUR
    assert plan([candidate(notification=2)], here).waits == {"quiet_hours": 1}


def test_only_caps_that_concern_the_category_count() -> None:
    written = [
        {"category": None, "count": 3, "hours": 24},
        {"category": "offers", "count": 1, "hours": 168},
        {"category": "news", "count": 1, "hours": 24},
    ]
    assert [cap.name for cap in concerning(written, "offers")] == ["*:24", "offers:168"]
    assert [cap.name for cap in concerning(written, "")] == ["*:24"]
    assert concerning([], "offers") == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "Write a list"),
        ([{"count": 1}], "Cap 1: hours"),
        ([{"count": True, "hours": 1}], "Cap 1: count"),
        ([{"count": 1, "hours": 1}, {"count": 0, "hours": 1}], "Cap 2: count"),
        ([{"count": 1, "hours": 1, "category": 5}], "category is the key"),
        ([{"count": 1, "hours": 1}, {"count": 2, "hours": 1}], "already"),
        ([{"count": 1, "hours": 721}], "from 1 to 720"),
        ([{"count": 1, "hours": 1, "days": 2}], "category, count and hours"),
        ([{"count": 1, "hours": hours} for hours in range(1, 7)], "5 are the most"),
    ],
)
def test_what_is_no_cap_is_refused_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(CapError, match=said):
        parse(value)


@given(
    landings=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), max_size=60),
    count=st.integers(1, 4),
    hours=st.integers(1, 24),
)
def test_no_window_holds_more_places_than_the_cap(
    landings: list[tuple[int, int]], count: int, hours: int
) -> None:
    places, cap = InMemory(), Cap(None, count, hours)
    for notification, hour in landings:
        ask = Ask(b"s", bytes([notification]), hour * HOUR)
        [full] = places.reserve((cap,), [ask], now=0)
        if full is not None:
            later = Ask(b"s", bytes([notification]), full.free_at)
            assert full.free_at > ask.landing and places.reserve((cap,), [later], now=0) == [None]
    held = sorted(places.places.get((cap.name, b"s"), {}).values())
    assert all(b - a >= cap.seconds for a, b in zip(held, held[count:], strict=False))


class Campaign:
    """A campaign of the random world: its facts, and who of it waits until when."""

    def __init__(self, number: int, facts: Circumstances, people: list[Candidate]) -> None:
        self.number, self.facts = number, facts
        self.queue: list[tuple[float, list[Candidate]]] = [(facts.started, people)]


policies = st.builds(
    Policy,
    capped=st.sampled_from(["drop", "defer"]),
    local_time=st.sampled_from(["", "", "07:30", "02:30", "23:50"]),
    late=st.sampled_from(["now", "tomorrow"]),
    jitter=st.sampled_from([0, 0, 600, 3600]),
)
QUIET = ["", "22:00-08:00", "02:10-02:40", "01:00-00:30", "off", "12:00-13:00"]


@settings(max_examples=150, deadline=None)
@given(
    where=st.deferred(lambda: st.lists(st.sampled_from(changes()), min_size=1, max_size=3)),
    wishes=st.lists(policies, min_size=1, max_size=3),
    caps=st.lists(st.builds(Cap, st.none(), st.integers(1, 2), st.integers(1, 30)), min_size=1, max_size=2),
    quiet=st.sampled_from(QUIET),
    own=st.lists(st.sampled_from(QUIET), min_size=3, max_size=3),
    ttl=st.sampled_from([HOUR, 12 * HOUR, 72 * HOUR]),
    start=st.floats(-86_400, 86_400),
    seed=st.integers(0, 1_000),
)
def test_nothing_lands_in_a_quiet_hour_over_a_cap_after_its_end_or_before_its_time(
    where: list[tuple[str, datetime]],
    wishes: list[Policy],
    caps: list[Cap],
    quiet: str,
    own: list[str],
    ttl: float,
    start: float,
    seed: int,
) -> None:
    """Several campaigns at once to the same people, around a change of one's clock, by workers that come late."""
    dice, reservations = random.Random(seed), InMemory()
    begin = where[0][1].timestamp() + start
    rules = tuple({cap.name: cap for cap in caps}.values())
    campaigns = []
    for number, policy in enumerate(wishes):
        started = begin + dice.uniform(0, 6 * HOUR)
        people = [
            candidate(
                number=n, zone=where[n % len(where)][0], quiet=own[n % 3], notification=100 * number + n
            )
            for n in range(1, 5)
        ]
        values = {"policy": policy, "started": started, "expires_at": started + ttl + 40 * HOUR, "ttl": ttl}
        if not policy.local_time:
            values["expires_at"] = started + ttl
        here = Circumstances(now=started, caps=rules, reservations=reservations, quiet=quiet, **values)
        campaigns.append(Campaign(number, here, people))
    landed: dict[bytes, list[float]] = {}
    ends = 0
    while waiting := [campaign for campaign in campaigns if campaign.queue]:
        campaign = min(waiting, key=lambda one: min(due for due, _ in one.queue))
        campaign.queue.sort(key=lambda item: item[0])
        due, people = campaign.queue.pop(0)
        here = copy.copy(campaign.facts)
        here.now, here.seen = due + dice.choice([0, 0, 0.5, 90]), set()
        planned = plan(people, here, STAGES)
        assert len(planned.passed) + len(planned.dropped) + sum(map(len, planned.deferred.values())) == len(
            people
        )
        ends += len(planned.passed) + len(planned.dropped)
        for until, some in planned.deferred.items():
            assert until > here.now
            campaign.queue.append((until, some))
        for one in planned.passed:
            landing = jitters.landing_of(one, here)
            zone = zone_of(one.person, here.zone)
            hours = hours_at(zone, one.person.quiet_hours or quiet, int(landing // 60))
            assert hours is None or hours.opens is None, "in a quiet hour"
            limit = jitters.limit_of(one, here)
            assert here.now <= landing and (limit is None or landing < limit), "after its end"
            if here.policy.local_time:
                assert landing >= instant_in(zone, here.policy, here.zone, since_of(one, here)), (
                    "before its time"
                )
            landed.setdefault(one.person.uid, []).append(landing)
    assert ends == 4 * len(campaigns)
    for times in landed.values():
        times.sort()
        for cap in rules:
            assert all(b - a >= cap.seconds for a, b in zip(times, times[cap.count :], strict=False)), (
                "over a cap"
            )


def test_full_says_which_cap_and_until_when() -> None:
    places = InMemory()
    both = (Cap(None, 2, 24), Cap("offers", 1, 48))
    assert places.reserve(both, [Ask(b"s", b"1", 10.0)], now=10) == [None]
    assert places.reserve(both, [Ask(b"s", b"2", 20.0)], now=20) == [Full(1, 10.0 + 48 * HOUR)]
    assert places.reserve(both[:1], [Ask(b"s", b"2", 20.0)], now=20) == [None]
