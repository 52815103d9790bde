"""A window of the day: nobody outside it, whatever else holds them, and everybody comes to an end."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.policy import Candidate, Circumstances, Plan, plan, window
from delivery.policy.jitter import landing_of
from delivery.policy.quiet_hours import hours_at
from delivery.snapshot import Policy
from tests.delivery.policy.facts import NOW, at, candidate

HOME = "Europe/Berlin"
DAY = 86_400.0
EVENING = Policy(window_start="18:00", window_end="20:00")


def opening(policy: Policy, text: str, started: str = "2026-03-28T09:00:00+01:00") -> float:
    return window.opening(policy, at(text), started=at(started), zone=HOME)


def planned_at(instant: float, who: list[Candidate], facts: Circumstances) -> Plan:
    """Plan people as a page of their own that is worked at an instant."""
    return plan(who, msgspec.structs.replace(facts, now=instant, seen=set()))


def within(policy: Policy, instant: float) -> bool:
    """Return whether the clock on the wall shows a time of the window; no window here ends while clocks change."""
    shows = f"{datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(HOME)):%H:%M}"
    if policy.window_start < policy.window_end:
        return policy.window_start <= shows < policy.window_end
    return shows >= policy.window_start or shows < policy.window_end


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-28T17:59:59+01:00", "2026-03-28T18:00:00+01:00"),
        ("2026-03-28T18:00:00+01:00", "2026-03-28T18:00:00+01:00"),
        ("2026-03-28T19:59:59+01:00", "2026-03-28T19:59:59+01:00"),
        ("2026-03-28T20:00:00+01:00", "2026-03-29T18:00:00+02:00"),
    ],
)
def test_its_beginning_belongs_to_it_and_its_end_does_not(now: str, opens: str) -> None:
    assert opening(EVENING, now) == at(opens)


def test_without_a_beginning_it_begins_at_the_launchs_time_of_day() -> None:
    policy = Policy(window_end="18:00")
    for now, opens in [
        ("2026-03-28T17:59:59+01:00", "2026-03-28T17:59:59+01:00"),
        ("2026-03-28T18:00:00+01:00", "2026-03-29T09:00:00+02:00"),
        ("2026-03-29T03:00:00+02:00", "2026-03-29T09:00:00+02:00"),
        ("2026-03-29T12:00:00+02:00", "2026-03-29T12:00:00+02:00"),
    ]:
        assert opening(policy, now) == at(opens)


def test_it_may_go_over_midnight() -> None:
    night = Policy(window_start="20:00", window_end="02:00")
    for now, opens in [
        ("2026-06-16T01:00:00+02:00", "2026-06-16T01:00:00+02:00"),
        ("2026-06-16T02:00:00+02:00", "2026-06-16T20:00:00+02:00"),
    ]:
        assert opening(night, now) == at(opens)


def test_one_that_a_clock_change_skips_is_that_of_the_next_day() -> None:
    skipped = Policy(window_start="02:10", window_end="02:50")
    assert opening(skipped, "2026-03-28T12:00:00+01:00") == at("2026-03-30T02:10:00+02:00")


def test_who_comes_outside_it_is_told_when_it_opens_and_does_not_expire_on_the_way() -> None:
    facts = Circumstances(now=at("2026-06-15T21:00:00+02:00"), policy=EVENING, zone=HOME, ttl=600)
    facts.started = facts.now
    who = candidate(since=facts.now, expires_at=facts.now + 600, quiet="20:00-09:00")
    planned = plan([who], facts)
    opens = at("2026-06-16T18:00:00+02:00")
    assert list(planned.deferred) == [opens] and planned.waits == {"window": 1}
    [later] = planned.deferred[opens]
    assert later.named.expires_at == opens + 600
    assert planned_at(opens, [later], facts).passed == [later]
    dropped = planned_at(opens + 600, [later], facts).dropped
    assert [drop.reason for _, drop in dropped] == ["expired"]


@pytest.mark.parametrize(
    ("quiet", "until"),
    [
        ("", "18:00"),
        ("off", "18:00"),
        ("17:00-19:00", "19:00"),
        ("19:00-21:00", "18:00"),
        ("17:00-20:00", None),
        ("17:00-08:00", None),
    ],
)
def test_quiet_hours_that_reach_into_it_are_waited_for_and_those_that_cover_it_leave_nobody(
    quiet: str, until: str | None
) -> None:
    facts = Circumstances(now=at("2026-06-15T12:00:00+02:00"), policy=EVENING, zone=HOME)
    planned = plan([candidate(quiet=quiet)], facts)
    if until is None:
        assert [drop.reason for _, drop in planned.dropped] == ["no_hour"]
    else:
        assert list(planned.deferred) == [at(f"2026-06-15T{until}:00+02:00")]
    facts.overriding = True
    assert list(planned_at(facts.now, [candidate(quiet=quiet)], facts).deferred) == [
        at("2026-06-15T18:00:00+02:00")
    ]


def test_a_local_time_outside_it_waits_for_it() -> None:
    policy = msgspec.structs.replace(EVENING, local_time="09:00", late="tomorrow")
    begun = at("2026-06-15T18:00:00+02:00")
    facts = Circumstances(now=begun, started=begun, policy=policy, zone=HOME, ttl=600)
    seen = []
    left = [(begun, candidate(zone="Asia/Tokyo")), (begun, candidate(zone="America/New_York", number=2))]
    while left:
        due, who = left.pop(0)
        planned = planned_at(due, [who], facts)
        seen += [(one.person.id, due) for one in planned.passed]
        left += [(until, one) for until, some in planned.deferred.items() for one in some]
    assert seen == [(1, begun + DAY), (2, begun + DAY)], "nine o'clock there is never evening here"


def test_a_jitter_ends_with_it() -> None:
    policy = msgspec.structs.replace(EVENING, jitter=3600)
    facts = Circumstances(now=at("2026-06-15T19:50:00+02:00"), policy=policy, zone=HOME)
    landings = [landing_of(candidate(number=n, notification=n), facts) for n in range(24)]
    assert max(landings) > facts.now + 500 and all(within(policy, one) for one in landings)


@given(
    policy=st.builds(
        Policy,
        window_start=st.sampled_from(["00:30", "06:00", "18:00", "22:15"]),
        window_end=st.sampled_from(["05:00", "09:00", "20:00", "23:59"]),
        local_time=st.sampled_from(["", "", "07:30", "02:30", "23:50"]),
        late=st.sampled_from(["now", "tomorrow"]),
        jitter=st.sampled_from([0, 0, 600, 3600]),
    ),
    quiet=st.sampled_from(["", "22:00-08:00", "12:00-13:00", "off"]),
    own=st.lists(
        st.tuples(
            st.sampled_from(["", "Asia/Tokyo", "America/New_York", "Australia/Lord_Howe"]),
            st.sampled_from(["", "22:00-08:00", "02:10-02:40", "05:00-19:00", "off"]),
        ),
        min_size=1,
        max_size=5,
    ),
    begun=st.one_of(
        st.floats(NOW, NOW + 2 * DAY),
        st.floats(at("2026-03-28T00:00+01:00"), at("2026-03-29T23:00+02:00")),
        st.floats(at("2026-10-24T00:00+02:00"), at("2026-10-25T23:00+01:00")),
    ),
    ttl=st.sampled_from([3600.0, DAY, 3 * DAY]),
    late_by=st.floats(0, 7_200),
    named=st.booleans(),
)
def test_nothing_is_planned_outside_of_it_and_everybody_comes_to_an_end(
    policy: Policy,
    quiet: str,
    own: list[tuple[str, str]],
    begun: float,
    ttl: float,
    late_by: float,
    named: bool,
) -> None:
    facts = Circumstances(now=begun, started=begun, policy=policy, zone=HOME, quiet=quiet, ttl=ttl)
    values = {"since": begun, "expires_at": begun + ttl} if named else {}
    left: list[tuple[float, Candidate]] = [
        (begun, candidate(number=number, zone=zone, quiet=text, notification=number, **values))
        for number, (zone, text) in enumerate(own, 1)
    ]
    for _ in range(60):
        if not left:
            break
        due, who = left.pop()
        facts.now = due + (late_by if due > begun else 0.0)
        planned = planned_at(facts.now, [who], facts)
        left += [(until, one) for until, some in planned.deferred.items() for one in some]
        assert all(until > facts.now for until in planned.deferred)
        for one in planned.passed:
            zone = one.person.time_zone or HOME
            hours = hours_at(zone, one.person.quiet_hours or quiet, int(facts.now // 60))
            assert within(policy, facts.now) and within(policy, landing_of(one, facts))
            assert hours is None or hours.opens is None
    else:
        pytest.fail("somebody waits for ever")


@given(
    at=st.floats(NOW, NOW + 400 * DAY),
    start=st.times(),
    end=st.times(),
    zone=st.sampled_from([HOME, "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
)
def test_it_opens_within_two_days_and_never_before_it_is_asked_for(
    at: float, start: datetime, end: datetime, zone: str
) -> None:
    policy = Policy(window_start=f"{start:%H:%M}", window_end=f"{end:%H:%M}")
    found = window.opening(policy, at, started=at, zone=zone)
    span = window.span(policy, found, started=at, zone=zone)
    assert at <= found <= at + timedelta(days=2).total_seconds() + 3_600
    assert span is not None and span.opens <= found < span.closes
