"""What stands on the page that asks before a campaign is launched: whom it reaches, when, and what is in the way."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from campaigns import launching
from campaigns.models import Campaign
from delivery import rendering
from delivery.models import Gate
from devices import segments
from devices.models import Category, Preference, Subscriber


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Whom a campaign would reach if it were launched now, in subscribers, and what to say about it."""

    people: int
    text: str
    who: str
    facts: list[str]
    problems: list[str]
    button: str


def reach_of(campaign: Campaign) -> Reach:
    """Count a campaign's audience now, and say it in sentences."""
    audience = segments.subscribers(
        campaign.application, campaign.segment.predicate if campaign.segment else None
    )
    total, people = audience.count(), willing(audience, campaign.category).count()
    whom = f"the segment “{campaign.segment}”" if campaign.segment else f"everybody in {campaign.application}"
    who = f"It reaches {people:,} people now: {whom}"
    who += f", without {total - people:,} who do not want it." if total > people else "."
    later = campaign.send_at is not None and campaign.send_at > timezone.now()
    at = f"{campaign.send_at:%-d %B %Y, %H:%M} UTC" if campaign.send_at else ""
    text = f"It says: {' — '.join(part for part in (campaign.title, campaign.body) if part)}"
    shut = Gate.objects.filter(application_id=campaign.application_id, state=Gate.State.SHUT)
    return Reach(
        people=people,
        text=text,
        who=who,
        facts=[
            text,
            who,
            f"It starts at {at}." if later else "It starts at once.",
            f"Its lane is {campaign.get_lane_display().lower()}.",
            *(
                f"The gate to {gate.get_provider_display()} is shut ({gate.reason}): its messages wait."
                for gate in shut
            ),
        ],
        problems=problems_of(campaign),
        button=f"Plan it for {at}" if later else f"Launch to {people:,} people now",
    )


def willing(audience: QuerySet[Subscriber], category: Category | None) -> QuerySet[Subscriber]:
    """Return those of an audience who want notifications, and those of this category."""
    found = audience.filter(consent=True)
    if category is None:
        return found
    chosen = Preference.objects.filter(category=category)
    if category.opt_in:
        return found.filter(pk__in=chosen.filter(allowed=True).values("subscriber"))
    return found.exclude(pk__in=chosen.filter(allowed=False).values("subscriber"))


def problems_of(campaign: Campaign) -> list[str]:
    """Return what has to be put right before the campaign can be used."""
    try:
        snapshot = launching.snapshot_of(campaign)
    except launching.LaunchError as error:
        return [str(error)]
    return [str(problem) for problem in rendering.check(snapshot)]
