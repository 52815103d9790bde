"""What is planned, day by day: launches that wait, recurring times and drafts with a date; and who would hear twice."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations, combinations_with_replacement, islice, product
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, Count, F, Min, Q
from django.db.models.functions import Cast

from campaigns import launching, recurrence
from campaigns.models import Campaign, CampaignVersion, Delayed
from campaigns.policy import opened
from campaigns.schedule import CrontabError, ZoneError
from devices import people as crowd
from devices import segments
from devices.models import Application, Subscriber

SAMPLE = 1_000
"""Newest subscribers among whom is counted who is in two audiences."""
MOST_PAIRS = 60
MOST_TIMES = 200
"""Times of one recurring campaign that are shown."""
MOST_CAMPAIGNS = 300
MOST_HOURS = 5_000
"""Hours of campaigns in which somebody waits after an event."""

WAITS = timedelta(days=1)
"""How long a campaign waits at most for its window to open."""

EVERYBODY = 0
"""The audience of a campaign without a segment, which no segment has as its key."""
LAUNCH, REPEAT, DRAFT, EVENT = "launch", "repeat", "draft", "event"


class Plan(NamedTuple):
    """A time at which a campaign is to be told: its day in a viewer's zone, and the instant.

    `kind` is `launch` (it starts by itself), `repeat` (a further time of a recurring one) or `draft` (not launched
    yet), `event` (after their events so many `people` wait for that day). `local`: everybody hears it at that time of
    their own clock.
    """

    day: date
    at: datetime
    campaign: Campaign
    kind: str
    local: bool
    people: int = 0


class Collision(NamedTuple):
    """Two campaigns of one day that the same people hear: the share of the sample that does, from 0 to 1.

    It may be 0 where it is certain that some do: the sample holds few of a small audience.
    """

    first: Campaign
    second: Campaign
    share: float


def plans(application: Application, *, first: date, last: date, zone: str) -> list[Plan]:
    """Return what is planned from one day to another (both included) of a viewer's zone, in order; two queries."""
    place = ZoneInfo(zone)
    begin = datetime.combine(first, time(), place).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), time(), place).astimezone(UTC)
    found: list[tuple[datetime, Campaign, str]] = []
    waiting = CampaignVersion.objects.filter(
        campaign__application=application,
        campaign__state=Campaign.State.LIVE,
        launched_at=None,
        launch_at__lt=end,
    )
    seen: dict[int, datetime] = {}
    for version in waiting.select_related("campaign__segment").defer("snapshot")[:MOST_CAMPAIGNS]:
        version.campaign.application = application
        if version.launch_at is None:
            continue
        if version.launch_at >= begin:
            found.append((version.launch_at, version.campaign, LAUNCH))
        if version.campaign.repeat:
            seen[version.campaign_id] = version.launch_at
            found += [
                (at, version.campaign, REPEAT)
                for at in _times(version.campaign, version.launch_at, begin, end)
            ]
    drafts = Campaign.objects.filter(
        Q(send_at__gte=begin - WAITS, send_at__lt=end) | ~Q(repeat=""),
        application=application,
        state__in=[Campaign.State.DRAFT, Campaign.State.IN_REVIEW, Campaign.State.APPROVED],
    )
    for campaign in drafts.select_related("segment")[:MOST_CAMPAIGNS]:
        campaign.application = application
        if campaign.repeat:
            now = datetime.now(UTC)
            start = launching.asked_at(campaign, now) - timedelta(seconds=1)
            found += [(at, campaign, DRAFT) for at in _times(campaign, start, begin, end)]
        elif campaign.send_at is not None:
            at = opened(campaign, campaign.send_at, application.time_zone)
            if begin <= at < end:
                found.append((at, campaign, DRAFT))
    made = [
        Plan(at.astimezone(place).date(), at.astimezone(place), campaign, kind, _own_times(campaign))
        for at, campaign, kind in found
    ]
    made += _waiting(application, begin, end, place)
    return sorted(made, key=lambda plan: (plan.at, plan.campaign.name))


def _own_times(campaign: Campaign) -> bool:
    return campaign.local_time is not None or campaign.best_hour is not None


def _waiting(application: Application, begin: datetime, end: datetime, place: ZoneInfo) -> list[Plan]:
    """Return, by campaign and day, who waits after their events, at the first instant; two queries."""
    rows = (
        Delayed.objects.filter(
            rule__application=application,
            state=Delayed.State.WAITING,
            due_at__gte=begin.timestamp(),
            due_at__lt=end.timestamp(),
        )
        .annotate(day=Cast(F("due_at") / 3_600, BigIntegerField()))
        .values("rule__campaign", "day")
        .annotate(people=Count("pk"), first=Min("due_at"))
        .order_by("first")[:MOST_HOURS]
    )
    days: dict[tuple[int, date], tuple[datetime, int]] = {}
    for row in rows:
        at = datetime.fromtimestamp(row["first"], UTC).astimezone(place)
        first, people = days.get((row["rule__campaign"], at.date()), (at, 0))
        days[(row["rule__campaign"], at.date())] = (first, people + row["people"])
    campaigns = Campaign.objects.select_related("segment").in_bulk({key for key, _day in days})
    return [
        Plan(day, at, campaigns[key], EVENT, _own_times(campaigns[key]), people)
        for (key, day), (at, people) in days.items()
        if key in campaigns
    ]


def collisions(
    application: Application, planned: Sequence[Plan], *, most: int
) -> dict[date, list[Collision]]:
    """Return, by day, which campaigns the same people hear: the `most` with the largest shares of them, in order.

    It is counted among people spread over all, in one query. Campaigns to one audience are taken together: a day of
    200 campaigns has 20,000 pairs, but few pairs of audiences.
    """
    days: dict[date, dict[int, dict[int, Campaign]]] = {}
    for plan in sorted(planned, key=lambda one: (one.day, one.campaign.name, one.campaign.pk)):
        audience = plan.campaign.segment_id or EVERYBODY
        days.setdefault(plan.day, {}).setdefault(audience, {})[plan.campaign.pk] = plan.campaign
    pairs = {
        day: list(_pairs([list(campaigns.values()) for campaigns in audiences.values()], most))
        for day, audiences in days.items()
    }
    shares = _shares(application, [pair for several in pairs.values() for pair in several])
    found = {
        day: [
            Collision(one, other, share)
            for one, other in several
            if (share := shares.get(_key(one, other), 0.0)) > 0 or _certain(one, other)
        ]
        for day, several in pairs.items()
    }
    return {
        day: sorted(several, key=lambda one: (-one.share, one.first.name, one.second.name))[:most]
        for day, several in found.items()
        if several
    }


def _pairs(audiences: Sequence[Sequence[Campaign]], most: int) -> Iterator[tuple[Campaign, Campaign]]:
    """Yield, of each two audiences and of each with itself, the first pairs of their campaigns by name."""
    for one, other in combinations_with_replacement(audiences, 2):
        both = combinations(one, 2) if one is other else product(one, other)
        for pair in islice(both, most):
            first, second = sorted(pair, key=lambda campaign: campaign.name)
            yield first, second


def _times(campaign: Campaign, after: datetime, begin: datetime, end: datetime) -> list[datetime]:
    """Return a recurring campaign's times after an instant that fall between two others."""
    zone = campaign.repeat_zone or campaign.application.time_zone
    last = min(campaign.repeat_until or end, end - timedelta(seconds=1))
    start = max(after, begin - timedelta(seconds=1) - (WAITS if campaign.window_start else timedelta()))
    times: list[datetime] = []
    try:
        for asked in recurrence.occurrences(campaign.repeat, zone, after=start, until=last):
            at = opened(campaign, asked, campaign.application.time_zone)
            if begin <= at <= last and at > after and at not in times[-1:]:
                times.append(at)
            if len(times) == MOST_TIMES:
                break
    except (CrontabError, ZoneError):
        return []
    return times


def _certain(one: Campaign, other: Campaign) -> bool:
    """Return whether the same people hear both, however few they are: one segment, or one is for everybody."""
    return one.segment_id == other.segment_id or None in (one.segment_id, other.segment_id)


def _key(one: Campaign, other: Campaign) -> tuple[int, int]:
    """Return what the share of two audiences depends on: their segments."""
    low, high = sorted((one.segment_id or EVERYBODY, other.segment_id or EVERYBODY))
    return low, high


def _shares(
    application: Application, pairs: Iterable[tuple[Campaign, Campaign]]
) -> dict[tuple[int, int], float]:
    wanted: dict[tuple[int, int], Q] = {}
    for one, other in pairs:
        key = _key(one, other)
        if key not in wanted and len(wanted) < MOST_PAIRS:
            wanted[key] = _chosen(one) & _chosen(other)
    if not wanted:
        return {}
    # a condition without any test cannot be a filter of a count: everybody is counted plainly
    counts: dict[str, Any] = {
        f"pair{number}": Count("pk", filter=condition) if condition else Count("pk")
        for number, condition in enumerate(wanted.values())
    }
    some = Subscriber.objects.filter(pk__in=crowd.spread(application.pk, SAMPLE))
    found = some.aggregate(whole=Count("pk"), **counts)
    whole = found["whole"] or 1
    return {key: found[f"pair{number}"] / whole for number, key in enumerate(wanted)}


def _chosen(campaign: Campaign) -> Q:
    try:
        return segments.to_q(campaign.segment.whole) if campaign.segment else Q()
    except segments.PredicateError:
        return segments.NOBODY  # its launch is refused with the reason
