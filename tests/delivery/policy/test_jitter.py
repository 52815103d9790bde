"""Where in a jitter a notification falls."""

from collections import Counter
from uuid import UUID, uuid5

from delivery.policy import Circumstances
from delivery.policy.jitter import STEPS, landing_of
from delivery.snapshot import Policy
from tests.delivery.policy.facts import NOW, candidate


def test_people_are_spread_evenly_and_the_same_every_time() -> None:
    facts = Circumstances(now=NOW, policy=Policy(jitter=600))
    people = [candidate(number=n, notification=uuid5(UUID(int=1), str(n)).int) for n in range(1_200)]
    landings = [landing_of(who, facts) for who in people]
    assert landings == [landing_of(who, facts) for who in people]
    counts = Counter(landings)
    assert len(counts) == STEPS and min(counts) == NOW and max(counts) < NOW + 600
    assert all(50 < count < 150 for count in counts.values())


def test_what_is_left_before_the_end_is_spread_instead() -> None:
    people = [candidate(number=n, notification=n) for n in range(STEPS)]
    soon = Circumstances(now=NOW, policy=Policy(jitter=600), expires_at=NOW + 60)
    assert max(landing_of(who, soon) for who in people) < NOW + 60
    evening = Circumstances(now=NOW, policy=Policy(jitter=3600), quiet="12:10-13:00")
    assert NOW + 500 < max(landing_of(who, evening) for who in people) < NOW + 600


def test_without_a_jitter_it_is_now() -> None:
    assert landing_of(candidate(notification=5), Circumstances(now=NOW)) == NOW
