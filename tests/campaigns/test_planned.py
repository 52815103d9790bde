"""Who hears twice on a day, against all pairs of that day's campaigns."""

import random
from datetime import UTC, date, datetime
from itertools import combinations

import pytest

from campaigns.models import Campaign
from campaigns.planned import DRAFT, Plan, collisions
from devices.models import Application, Segment, Subscriber

pytestmark = pytest.mark.django_db(databases=["default", "log"])
PEOPLE = 20


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_shares_of_a_day_are_those_of_all_its_pairs(seed: int) -> None:
    draw = random.Random(seed)
    application = Application.objects.create(name="Meadow", slug=f"meadow-{seed}")
    people = [f"p{number}" for number in range(PEOPLE)]
    Subscriber.objects.bulk_create(Subscriber(application=application, external_id=one) for one in people)
    chosen: dict[int | None, set[str]] = {None: set(people)}
    for number in range(4):
        some = set(draw.sample(people, draw.randint(1, 8)))
        predicate = {"any": [{"external_id": one} for one in sorted(some)]}
        segment = Segment.objects.create(application=application, name=f"s{number}", predicate=predicate)
        chosen[segment.pk] = some
    day, at = date(2031, 5, 6), datetime(2031, 5, 6, 10, tzinfo=UTC)
    audiences = list(chosen) if seed % 2 else list(chosen)[1:]
    plans = []
    for name in draw.sample("abcdefghij", draw.randint(0, 9)):
        campaign = Campaign.objects.create(
            application=application, name=name, title="x", segment_id=draw.choice(audiences)
        )
        plans += [Plan(day, at, campaign, DRAFT, False)] * draw.randint(1, 2)

    found = collisions(application, plans, most=3).get(day, [])

    campaigns = {plan.campaign.pk: plan.campaign for plan in plans}.values()
    everything = {
        frozenset((one.name, other.name)): len(chosen[one.segment_id] & chosen[other.segment_id]) / PEOPLE
        for one, other in combinations(campaigns, 2)
        if chosen[one.segment_id] & chosen[other.segment_id]
    }
    assert [one.share for one in found] == sorted(everything.values(), reverse=True)[:3]
    assert all(everything[frozenset((one.first.name, one.second.name))] == one.share for one in found)
    assert len({(one.first.name, one.second.name) for one in found}) == len(found)
    assert all(one.first.name < one.second.name for one in found)
