"""The best hour of each person: in their window, never in their quiet hours, on the days on which clocks change too."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.policy import Candidate, Circumstances, best_hour, plan, zone_of
from delivery.policy.jitter import landing_of
from delivery.policy.quiet_hours import hours_at
from delivery.snapshot import Policy
from devices.wall_time import zone_or
from tests.delivery.policy.facts import NOW, at, candidate, changes

DAY = 86_400.0
POLICY = Policy(best=12, best_from=8, best_until=22)


def person(hour: int = -1, **values: Any) -> Candidate:
    made = candidate(**values)
    return msgspec.structs.replace(made, person=msgspec.structs.replace(made.person, best_hour=hour))


def circumstances(**values: Any) -> Circumstances:
    return Circumstances(**{"now": NOW, "started": NOW, "policy": POLICY, "zone": "Europe/Berlin", **values})


def told(one: Candidate, **values: Any) -> float | str:
    """Return when somebody is told (through the planner, again and again), or why never."""
    facts = circumstances(**values)
    for _ in range(6):
        found = plan([one], facts)
        if found.passed:
            return facts.now
        if found.dropped:
            return found.dropped[0][1].reason
        ((until, (one,)),) = found.deferred.items()
        assert until > facts.now
        facts = circumstances(**{**values, "now": until})
    raise AssertionError("put off for ever")


@pytest.mark.parametrize(
    ("hour", "zone", "expected"),
    [
        (19, "Europe/Berlin", "2026-06-15T19:00:00+02:00"),
        (9, "Europe/Berlin", "2026-06-16T09:00:00+02:00"),
        (9, "America/New_York", "2026-06-15T09:00:00-04:00"),
        (3, "Europe/Berlin", "2026-06-16T08:00:00+02:00"),
        (23, "Europe/Berlin", "2026-06-15T21:00:00+02:00"),
    ],
)
def test_everybody_is_told_at_their_own_hour_within_the_window(hour: int, zone: str, expected: str) -> None:
    assert told(person(hour, zone=zone)) == at(expected)


def test_who_is_not_known_has_the_applications_hour_and_else_the_campaigns() -> None:
    assert told(person(), best_hour=20) == at("2026-06-15T20:00:00+02:00")
    assert told(person()) == at("2026-06-16T12:00:00+02:00")
    assert told(person(18), best_hour=20) == at("2026-06-15T18:00:00+02:00")


def test_quiet_hours_choose_the_nearest_hour_that_they_leave() -> None:
    assert told(person(21, quiet="20:30-08:00")) == at("2026-06-15T20:00:00+02:00")
    assert told(person(21, quiet="07:00-23:00")) == "no_hour"
    assert told(person(21, quiet="07:00-23:00"), overriding=True) == at("2026-06-15T21:00:00+02:00")


def test_a_day_that_is_named_is_every_persons_own() -> None:
    policy = msgspec.structs.replace(POLICY, local_date="2026-12-24")
    assert told(person(9, zone="Asia/Tokyo"), policy=policy) == at("2026-12-24T09:00:00+09:00")


def test_who_is_late_past_the_window_waits_for_the_next() -> None:
    one = person(21)
    late = circumstances(now=at("2026-06-15T22:30:00+02:00"))
    assert list(plan([one], late).deferred) == [at("2026-06-16T21:00:00+02:00")]
    in_time = circumstances(now=at("2026-06-15T21:40:00+02:00"))
    assert len(plan([one], in_time).passed) == 1


def test_their_time_to_live_counts_from_their_hour() -> None:
    found = plan([person(21)], circumstances(ttl=600.0))
    ((until, (one,)),) = found.deferred.items()
    assert one.named.expires_at == until + 600.0


@settings(max_examples=250)
@given(data=st.data())
def test_nobody_is_told_outside_their_window_or_in_their_quiet_hours(data: st.DataObject) -> None:
    zone, change = data.draw(st.sampled_from(changes()))
    begun = change.timestamp() + data.draw(st.integers(-2 * 86_400, 2 * 86_400))
    begins = data.draw(st.integers(0, 23))
    policy = Policy(
        best=begins,
        best_from=begins,
        best_until=data.draw(st.integers(begins + 1, 24)),
        jitter=data.draw(st.sampled_from([0, 3_600])),
        local_date=data.draw(st.sampled_from(["", datetime.fromtimestamp(begun, UTC).date().isoformat()])),
    )
    quiet = data.draw(st.sampled_from(["", "22:00-08:00", "02:10-02:40", "12:00-13:00", "23:30-23:45"]))
    one = person(data.draw(st.integers(-1, 23)), zone=zone, quiet=quiet)
    values: dict[str, Any] = {
        "started": begun,
        "now": begun,
        "policy": policy,
        "best_hour": data.draw(st.integers(-1, 23)),
    }
    instant = told(one, **values)
    if isinstance(instant, str):
        assert instant == "no_hour" and quiet
        return
    facts = circumstances(**{**values, "now": instant})
    for landing in (instant, landing_of(one, facts)):
        hour = datetime.fromtimestamp(landing, UTC).astimezone(zone_or(zone)).hour
        assert policy.best_from <= hour < policy.best_until
        hours = hours_at(zone_of(one.person, "UTC"), quiet, int(landing // 60)) if quiet else None
        assert hours is None or hours.opens is None
    assert begun <= instant <= best_hour.latest(policy, begun) + DAY
