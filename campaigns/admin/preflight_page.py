"""The page before a launch: numbers, samples, warnings, approvals, a test on real devices, a canary that waits."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from campaigns import approval, launching, preflight, trying
from campaigns.admin.experiment import experiment_page
from campaigns.admin.when import viewer_zone, when_sentences
from campaigns.models import Campaign, Experiment, TestDevice
from campaigns.preflight import Preflight
from campaigns.timetable import shown
from delivery.dryrun import Rehearsal
from delivery.reasons import deferred_sentence, outcome_sentence, stopped_sentence
from devices import staff
from devices.admin import second_factor
from devices.models import Power, Provider
from devices.words import number

UNWILLING = ("no_consent", "category_off", "not_opted_in")
"""Reasons for which people are stopped who do not want to be told."""


class Line(NamedTuple):
    """A line of a table: a count, its share of all in per cent, and a sentence."""

    people: int
    share: float
    words: str


class Weight(NamedTuple):
    """What a provider is sent."""

    provider: str
    messages: int
    mean: int
    largest: int
    limit: int
    note: str


def show(admin: Any, request: HttpRequest, campaign: Campaign, *, canary_error: str = "") -> HttpResponse:
    """Return the page; with an error of a canary's share as it was sent."""
    found = preflight.look(campaign, quickly=True)
    canary = preflight.canary_of(campaign)
    author = approval.author_of(request.user)
    may_approve = staff.may(request, Power.LAUNCH, campaign.application_id)
    refusal = approval.refusal(campaign, author, found.standing) if found.standing else ""
    waiting = campaign.versions.filter(launch_at__isnull=False, launched_at=None).first()
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Before the launch of “%(name)s”") % {"name": campaign.name},
        "opts": campaign._meta,
        "object": campaign,
        "original": campaign,
        "found": found,
        "rehearsal": found.rehearsal,
        "people": _people(found),
        "weights": _weights(found),
        "hours": _hours(found),
        "span": _span(found.rehearsal.seconds) if found.rehearsal else "",
        "who": _who(campaign, found.rehearsal) if found.rehearsal else "",
        "when": _when(found, viewer_zone(request, campaign.application.time_zone)),
        "devices": TestDevice.objects.filter(application=campaign.application_id).select_related("device")[
            : trying.MOST * 5
        ],
        "canary": canary,
        "canary_reasons": [(count, outcome_sentence(code)) for code, count in canary.progress.reasons.items()]
        if canary
        else [],
        "canary_ticked": bool(request.POST.get("canary")),
        "canary_share": request.POST.get("canary_share", "1"),
        "canary_most": launching.MOST_CANARY,
        "canary_error": canary_error,
        "compares": bool(found.snapshot and preflight.compared(found.snapshot)),
        "planned": waiting,
        "may_edit": staff.may(request, Power.WRITE, campaign.application_id),
        "may_approve": may_approve,
        "may_stop": staff.may(request, Power.STOP, campaign.application_id),
        "may_own": staff.may(request, Power.MANAGE, campaign.application_id),
        "can_approve": _can(campaign, "approve") and not found.problems,
        "can_launch": _can(campaign, "launch") and not found.problems,
        "can_submit": campaign.state in launching.MOVES["submit"][0],
        "refusal": refusal,
        "second_factor": second_factor.notice(request, page_of(campaign)) if may_approve else "",
        "approvers": approval.names(found.standing.valid) if found.standing else "",
        "experiment_page": experiment_page(campaign, Experiment.objects.filter(campaign=campaign).first()),
        "seen": found.seal,
        "back": reverse("admin:campaigns_campaign_change", args=[campaign.pk]),
    }
    return TemplateResponse(request, "admin/campaigns/campaign/preflight.html", context)


def send_test(admin: Any, request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Send a test to the devices that were ticked."""
    keys = [key for key in request.POST.getlist("devices") if key.isdigit()][: trying.MOST + 1]
    chosen = list(
        TestDevice.objects.filter(application=campaign.application_id, pk__in=keys).select_related("device")
    )
    try:
        sent = trying.send_test(campaign, chosen, by=request.user)
    except (trying.TryError, launching.LaunchError) as error:
        messages.error(request, str(error))
    else:
        names = ", ".join(one.name for one in chosen)
        said = _("A test is on its way to %(names)s.") % {"names": names}
        admin.log_change(request, campaign, said)
        messages.success(request, said)
        if len(sent) == 1:
            messages.info(request, _("What becomes of it stands on the page of its run, under Runs."))
    return HttpResponseRedirect(page_of(campaign))


def canary_of_form(request: HttpRequest) -> int:
    """Return how many per cent are to be told first, 0 for all at once; raises `LaunchError` for what is no share."""
    if not request.POST.get("canary"):
        return 0
    said = request.POST.get("canary_share", "1").strip()
    share = int(said) if said.isascii() and said.isdecimal() and len(said) < 4 else 0
    if not 1 <= share <= launching.MOST_CANARY:
        raise launching.LaunchError("canary", launching.canary_wanted())
    return share


def decide_canary(admin: Any, request: HttpRequest, campaign: Campaign, *, go_on: bool) -> HttpResponse:
    """Tell the others after a canary, or end it."""
    try:
        version = launching.waiting_canary(campaign)
        if go_on:
            launching.go_on(version, by=request.user)
            said = _("It goes on: the others are being told.")
        else:
            launching.stop_canary(version, by=request.user)
            said = _("Stopped: nobody else is told.")
    except launching.LaunchError as error:
        messages.error(request, str(error))
    else:
        admin.log_change(request, campaign, said)
        messages.success(request, said)
    return HttpResponseRedirect(page_of(campaign))


def page_of(campaign: Campaign) -> str:
    """Return the address of a campaign's page before the launch."""
    return reverse("admin:campaigns_campaign_preflight", args=[campaign.pk])


def _can(campaign: Campaign, move: str) -> bool:
    return campaign.state in launching.MOVES[move][0] or (
        move == "approve" and campaign.state in launching.IN_FORCE
    )


def _people(found: Preflight) -> list[Line]:
    rehearsal = found.rehearsal
    if rehearsal is None or not rehearsal.audience:
        return []
    whole = rehearsal.audience
    lines = [(rehearsal.told, _("are told when it starts"))]
    lines += [(count, deferred_sentence(reason)) for reason, count in rehearsal.later.items()]
    lines += [(count, stopped_sentence(reason)) for reason, count in rehearsal.stopped.items()]
    return [Line(count, 100 * count / whole, words) for count, words in lines]


def _hours(found: Preflight) -> list[Line]:
    """Return how many people are told at each hour of their own clock, of a campaign with everybody's best hour."""
    hours = found.rehearsal.hours if found.rehearsal else {}
    whole = sum(hours.values()) or 1
    return [Line(people, 100 * people / whole, f"{hour}:00") for hour, people in sorted(hours.items())]


def _weights(found: Preflight) -> list[Weight]:
    if found.rehearsal is None:
        return []
    lines = []
    for name, one in found.rehearsal.bytes.items():
        note = ""
        if one.too_large:
            note = _("%(count)s of %(of)s too large") % {"count": one.too_large, "of": one.weighed}
        elif one.shortened:
            note = _("%(count)s of %(of)s cut") % {"count": one.shortened, "of": one.weighed}
        count = found.rehearsal.messages.get(name, 0)
        lines.append(Weight(str(Provider(name).label), count, one.mean, one.largest, one.limit, note))
    return lines


def _who(campaign: Campaign, rehearsal: Rehearsal) -> str:
    """Say whom it reaches, and who does not want it."""
    total = rehearsal.audience
    people = total - sum(rehearsal.stopped.get(reason, 0) for reason in UNWILLING)
    whom = (
        _("the segment “%(segment)s”") % {"segment": campaign.segment}
        if campaign.segment
        else _("everybody in %(application)s") % {"application": campaign.application}
    )
    if total > people:
        return _("It reaches %(people)s people now: %(whom)s, without %(without)s who do not want it.") % {
            "people": number(people),
            "whom": whom,
            "without": number(total - people),
        }
    return _("It reaches %(people)s people now: %(whom)s.") % {"people": number(people), "whom": whom}


def _when(found: Preflight, zone: str) -> list[str]:
    """Return when it is told, a sentence each; where a rate makes it take long, until when."""
    if found.snapshot is None:
        return []
    said = when_sentences(found.campaign, found.snapshot, zone)
    rehearsal = found.rehearsal
    if rehearsal is not None and rehearsal.seconds >= 60 and not found.snapshot.policy.own_times:
        last = datetime.fromtimestamp(rehearsal.at + rehearsal.seconds, UTC)
        home = found.campaign.application.time_zone
        said.append(
            _(
                "At its rate the last of them are told at about %(at)s; for them, in %(home)s, that is %(there)s."
            )
            % {"at": shown(last, zone), "home": home, "there": shown(last, home)}
            if zone != home
            else _("At its rate the last of them are told at about %(at)s.") % {"at": shown(last, zone)}
        )
    return said


def _span(seconds: float) -> str:
    if not seconds:
        return _("as fast as it goes")
    for unit, length in ((_("days"), 86_400), (_("hours"), 3_600), (_("minutes"), 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return _("%(count)s seconds") % {"count": max(1, round(seconds))}
