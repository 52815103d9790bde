"""When a campaign will really be told, in sentences for whoever plans it."""

from datetime import UTC, datetime

from django.http import HttpRequest
from django.utils.translation import gettext as _

from campaigns import launching, triggering
from campaigns.models import Campaign
from campaigns.policy import opened_by
from campaigns.recurrence import RepeatError, sentence
from campaigns.schedule import CrontabError, ZoneError
from campaigns.timetable import shown, timetable
from delivery.snapshot import Snapshot
from devices.known_zones import known_zones
from devices.viewer_zone import browser_zone
from devices.wall_time import offset, zone_names, zone_or
from devices.words import number


def viewer_zone(request: HttpRequest, home: str) -> str:
    """Return the time zone of whoever looks, as their browser said; else `home`, the application's."""
    asked = request.POST.get("viewer_zone", "")
    return (asked if asked in zone_names() else browser_zone(request)) or home


def when_sentences(campaign: Campaign, snapshot: Snapshot, zone: str) -> list[str]:
    """Return, a sentence each, when a campaign launched now is told: for somebody in `zone`, and for the recipients."""
    if campaign.event_type is not None:
        return _after_events(campaign, zone)
    home = campaign.application.time_zone
    now = datetime.now(UTC)
    begins = launching.asked_at(campaign, now)
    zones = known_zones(campaign.application_id)
    try:
        plan = timetable(
            policy=snapshot.policy,
            home=home,
            zones=zones,
            begins=begins,
            crontab=campaign.repeat,
            crontab_zone=campaign.repeat_zone,
            until=campaign.repeat_until,
        )
    except (CrontabError, ZoneError, RepeatError):
        return []
    said = []
    if campaign.send_at and campaign.send_at <= now:
        said.append(_("The time to send is past: a launch starts at once."))
    if campaign.repeat:
        said.append(sentence(campaign.repeat, campaign.repeat_zone or home))
        if plan.coming:
            said.append(_("Next: %(times)s.") % {"times": "; ".join(shown(at, zone) for at in plan.coming)})
    else:
        opens = opened_by(snapshot.policy, begins, home)
        if opens > begins:
            said.append(_("Its window is shut then; it opens at %(at)s.") % {"at": shown(opens, home)})
        elif not campaign.send_at and not (snapshot.policy.own_times and plan.first > now):
            said.append(_("It starts at once when it is launched."))
    if (plan.first > now and not campaign.repeat) or snapshot.policy.own_times:
        said.append(_("It starts for you at %(at)s.") % {"at": shown(plan.first, zone)})
    if snapshot.policy.own_times and plan.first != plan.last:
        said.append(
            _("First recipients: %(first)s. Last recipients: %(last)s; for you %(yours)s.")
            % {
                "first": shown(plan.first, plan.first_zone),
                "last": shown(plan.last, plan.last_zone),
                "yours": shown(plan.last, zone),
            }
        )
    if not snapshot.policy.own_times:
        said += _where_people_live(plan.first, {one or home for one in zones})
    return [*said, *plan.notes]


def _where_people_live(at: datetime, zones: set[str]) -> list[str]:
    """Return what the clocks of the recipients say when all of them are told at one instant."""
    clocks = sorted(zones, key=lambda zone: (offset(at.astimezone(zone_or(zone))), zone))
    if len({offset(at.astimezone(zone_or(zone))) for zone in clocks}) < 2:
        return []
    told = {"first": shown(at, clocks[0]), "last": shown(at, clocks[-1])}
    return [_("By the clocks of its recipients that is between %(first)s and %(last)s.") % told]


def _after_events(campaign: Campaign, zone: str) -> list[str]:
    """Return when people are told by a campaign that an event starts, and who waits already."""
    said = triggering.sentences(campaign)
    if campaign.local_time is not None:
        said.append(
            _("They are told at %(at)s of their own clock then.") % {"at": f"{campaign.local_time:%H:%M}"}
        )
    if campaign.window_start is not None and campaign.window_end is not None:
        said.append(
            _("Whose turn comes outside %(first)s to %(last)s in %(zone)s waits until it is time.")
            % {
                "first": f"{campaign.window_start:%H:%M}",
                "last": f"{campaign.window_end:%H:%M}",
                "zone": campaign.application.time_zone,
            }
        )
    found = triggering.waiting(campaign) if campaign.pk else triggering.Waiting(0, None, None)
    if found.people and found.first and found.last:
        said.append(
            _("%(people)s wait now: the first is told at %(first)s, the last at %(last)s.")
            % {
                "people": number(found.people),
                "first": shown(found.first, zone),
                "last": shown(found.last, zone),
            }
        )
    return said
