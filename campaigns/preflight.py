"""One look before a launch: what a dry run comes to, what is in the way, what to think about, and who has approved."""

from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

import msgspec
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns import approval, composing, launching, previewing
from campaigns.approval import Standing
from campaigns.models import Campaign, CampaignVersion
from campaigns.timetable import shown
from delivery import experiments, runs
from delivery.dryrun import Rehearsal
from delivery.models import Credential, Gate, Page, Run
from delivery.policy import throttle, window
from delivery.snapshot import Snapshot
from devices.known_zones import known_locales
from devices.models import Application, Preference, Provider, Subscriber
from devices.words import number, percent

LONG_TTL = 7 * 86_400
SHORT_TTL = 300
HELD_BACK = 0.4
"""The share held by quiet hours from which on to ask whether the time is right."""
USUAL_TIMES = 3
LOOKED_AT = 10
"""Runs that say how large an audience is usual."""
OPTED_OUT = 10_000
"""People who opted out lately that are looked through for a canary's."""


class Warning(NamedTuple):
    """Something to think about before a launch: a sentence, and the composer's field to change (or empty)."""

    text: str
    field: str = ""


class Preflight(NamedTuple):
    """What a launch would come to. With `problems` nothing can be launched; `rehearsal` is None then."""

    campaign: Campaign
    rehearsal: Rehearsal | None
    problems: list[Warning]
    warnings: list[Warning]
    standing: Standing | None
    digest: str
    snapshot: Snapshot | None = None

    @property
    def numbers(self) -> dict[str, Any]:
        """What an approval signs besides the content: people by reason, messages and bytes by provider, duration."""
        if self.rehearsal is None:
            return {}
        found = msgspec.to_builtins(self.rehearsal)
        kept = (
            "at",
            "audience",
            "told",
            "no_device",
            "stopped",
            "later",
            "messages",
            "seconds",
            "sampled",
            "margin",
        )
        weights = {name: one["largest"] for name, one in found["bytes"].items()}
        return {**{name: found[name] for name in kept}, "largest_bytes": weights}


class Canary(NamedTuple):
    """How a canary went: people told, messages and failures by reason, people who opted out since."""

    version: CampaignVersion
    run: Run
    progress: runs.Progress
    opted_out: int

    @property
    def failed_share(self) -> float:
        return self.progress.outcomes.get("failed", 0) / max(1, self.progress.messages)


def look(campaign: Campaign) -> Preflight:
    """Return what stands before a launch of what the campaign says now."""
    try:
        snapshot = launching.checked_snapshot(campaign)
    except launching.LaunchError as error:
        field = composing.field_of(error.field, locale=campaign.application.locale)[0]
        return Preflight(campaign, None, [Warning(str(error), field)], [], None, "")
    rehearsal = launching.rehearse(campaign)
    digest = approval.digest_of(campaign, snapshot)
    standing = approval.standing(campaign, digest=digest, audience=rehearsal.audience)
    problems = [
        Warning(
            _("%(count)s of %(weighed)s messages to %(provider)s are too large even with their texts cut.")
            % {"count": one.too_large, "weighed": one.weighed, "provider": Provider(name).label},
            "data",
        )
        for name, one in rehearsal.bytes.items()
        if one.too_large
    ]
    warnings = _warnings(campaign, snapshot, rehearsal)
    return Preflight(campaign, rehearsal, problems, warnings, standing, digest, snapshot)


def canary_of(campaign: Campaign) -> Canary | None:
    """Return the canary that waits for somebody to decide, None when there is none."""
    version = campaign.versions.filter(canary_state="waiting").select_related("campaign").first()
    run = Run.objects.filter(uid=launching.canary_uid(version)).first() if version else None
    if version is None or run is None:
        return None
    since = run.started_at or run.created_at
    share = launching.canary_share(version)
    gone = Subscriber.objects.filter(
        application=campaign.application_id, consent=False, consent_at__gte=since
    ).values_list("uid", flat=True)
    left = set(gone[:OPTED_OUT])
    if campaign.category_id is not None:
        off = Preference.objects.filter(category=campaign.category_id, allowed=False, changed_at__gte=since)
        left |= set(off.values_list("subscriber__uid", flat=True)[:OPTED_OUT])
    return Canary(version, run, runs.progress(run), sum(share.holds(uid.bytes) for uid in left))


def _about_texts(snapshot: Snapshot, application: Application) -> list[Warning]:
    """Return what is odd in the campaign's texts, and then in those of the variants that are tried."""
    found: list[Warning] = []
    said = previewing.problems_of(snapshot, application)
    for problem in said:
        field, place = composing.field_of(problem.field, locale=application.locale)
        found.append(Warning(f"{_place(field, place)}: {problem.text}", field))
    for variant in snapshot.experiment.variants if snapshot.experiment else ():
        for problem in previewing.problems_of(experiments.told(snapshot, variant.key), application):
            if problem not in said:
                field, place = composing.field_of(problem.field, locale=application.locale)
                where = {"variant": variant.key, "place": _place(field, place), "text": problem.text}
                found.append(Warning(_("variant %(variant)s, %(place)s: %(text)s") % where))
    return found


def _place(field: str, place: str) -> str:
    return f"{field.replace('__', ', ')}{', ' + place if place else ''}"


def _warnings(campaign: Campaign, snapshot: Snapshot, rehearsal: Rehearsal) -> list[Warning]:
    application = campaign.application
    found = _about_texts(snapshot, application)
    found += _about_languages(campaign, snapshot)
    if (snapshot.experiment or snapshot.goal) and not (snapshot.experiment and snapshot.experiment.control):
        found.append(
            Warning(
                _("It has a goal and no control group: nobody will know what would have happened without it.")
            )
        )
    if not rehearsal.audience:
        found.append(Warning(_("Nobody is in its audience now."), "segment"))
    elif not rehearsal.told and not rehearsal.later:
        found.append(Warning(_("Nobody would be told: see the reasons."), "segment"))
    usual = _usual(campaign)
    if usual and rehearsal.audience > USUAL_TIMES * usual:
        found.append(
            Warning(
                _("The audience of %(now)s people is more than three times the usual %(usual)s.")
                % {"now": number(rehearsal.audience), "usual": number(usual)},
                "segment",
            )
        )
    held = rehearsal.later.get("quiet_hours", 0)
    if rehearsal.audience and held / rehearsal.audience >= HELD_BACK:
        found.append(
            Warning(
                _(
                    "Quiet hours hold %(share)s of the people: another time, or a local time, tells them sooner."
                )
                % {"share": percent(held / rehearsal.audience, 0)},
                "send_at",
            )
        )
    found += _about_window(campaign, snapshot, rehearsal)
    if campaign.ttl > LONG_TTL:
        days = campaign.ttl // 86_400
        found.append(
            Warning(
                _("Its time to live is %(days)s days: somebody may read it that late.") % {"days": days},
                "ttl",
            )
        )
    elif campaign.ttl < SHORT_TTL:
        found.append(
            Warning(
                _("It ends %(seconds)s seconds after it begins: a phone that is off misses it.")
                % {"seconds": campaign.ttl},
                "ttl",
            )
        )
    if campaign.send_at and campaign.send_at <= timezone.now() and not campaign.repeat:
        found.append(Warning(_("The time to send is past: it would start at once."), "send_at"))
    found += _about_providers(campaign, rehearsal)
    if not rehearsal.caps_counted:
        found.append(Warning(_("Frequency caps could not be counted now: fewer may be told.")))
    return found


def _about_window(campaign: Campaign, snapshot: Snapshot, rehearsal: Rehearsal) -> list[Warning]:
    """Say when the window has a launch wait, and when it is too short for so many people at that rate."""
    policy, zone, found = snapshot.policy, campaign.application.time_zone, []
    if campaign.event_type_id is not None or not window.is_on(policy):
        return []
    now = timezone.now()
    if not campaign.repeat and launching.begins_at(campaign, now) > max(campaign.send_at or now, now):
        opens = shown(datetime.fromtimestamp(rehearsal.at, UTC), zone)
        found.append(
            Warning(
                _("Its window is shut when it would start: it starts at %(at)s.") % {"at": opens},
                "window_start",
            )
        )
    room = throttle.fits(policy, started=rehearsal.at, zone=zone)
    if room is None or rehearsal.audience <= room:
        return found
    shuts = window.span(policy, rehearsal.at, started=rehearsal.at, zone=zone)
    opens_again = window.opening(
        policy, shuts.closes if shuts else rehearsal.at, started=rehearsal.at, zone=zone
    )
    said = (
        _(
            "At %(rate)s %(per)s %(room)s people fit in the window, the audience is %(audience)s: the others are"
            " told on the next days."
        )
        if opens_again < rehearsal.at + campaign.ttl
        else _(
            "At %(rate)s %(per)s %(room)s people fit in the window, the audience is %(audience)s: the others are"
            " not told, since its time to live is over before it opens again."
        )
    )
    numbers = {
        "rate": number(policy.rate),
        "per": campaign.get_rate_per_display(),
        "room": number(room),
        "audience": number(rehearsal.audience),
    }
    return [*found, Warning(said % numbers, "window_end")]


def _about_languages(campaign: Campaign, snapshot: Snapshot) -> list[Warning]:
    base = {name: getattr(campaign, name) for name in ("title", "subtitle", "body")}
    found = [
        Warning(
            _("%(locale)s has no %(texts)s: it is read in %(fallback)s.")
            % {"locale": tag, "texts": ", ".join(names), "fallback": snapshot.locale},
            "locales",
        )
        for tag, names in composing.missing(campaign.locales, base).items()
    ]
    spoken = {tag.lower().partition("-")[0] for tag in snapshot.texts}
    missing: dict[str, int] = {}
    for locale, people in known_locales(campaign.application_id):
        language = locale.replace("_", "-").lower().partition("-")[0]
        if language not in spoken:
            missing[language] = missing.get(language, 0) + people
    if missing:
        found.append(
            Warning(
                _("Subscribers who read %(languages)s get %(fallback)s.")
                % {"languages": ", ".join(list(missing)[:5]), "fallback": snapshot.locale},
                "locales",
            )
        )
    return found


def _about_providers(campaign: Campaign, rehearsal: Rehearsal) -> list[Warning]:
    found = []
    ours = set(
        Credential.objects.filter(application=campaign.application_id).values_list("provider", flat=True)
    )
    for name, count in rehearsal.messages.items():
        if name != Provider.SOCKET and name not in ours:
            found.append(
                Warning(
                    _(
                        "%(count)s messages go to %(provider)s, for which there are no credentials yet: they wait."
                    )
                    % {"count": number(count), "provider": Provider(name).label}
                )
            )
    shut = Gate.objects.filter(application=campaign.application_id, state=Gate.State.SHUT)
    found += [
        Warning(
            _("The gate to %(provider)s is shut (%(reason)s): its messages wait.")
            % {"provider": gate.get_provider_display(), "reason": gate.reason}
        )
        for gate in shut
    ]
    for name, weight in rehearsal.bytes.items():
        if weight.shortened:
            found.append(
                Warning(
                    _("%(provider)s cuts the text of %(count)s of %(weighed)s messages: it is too long.")
                    % {
                        "provider": Provider(name).label,
                        "count": weight.shortened,
                        "weighed": weight.weighed,
                    },
                    "body",
                )
            )
    return found


def _usual(campaign: Campaign) -> int:
    """Return how many people a campaign of the application usually reaches, 0 when that is not known."""
    since = timezone.now() - timedelta(days=180)
    latest = Run.objects.filter(
        application=campaign.application_id,
        kind=Run.Kind.AUDIENCE,
        origin__startswith="campaign:",
        created_at__gte=since,
    ).order_by("-created_at")[:LOOKED_AT]
    sums = (
        Page.objects.filter(run__in=list(latest.values_list("pk", flat=True)), kind=Page.Kind.SHARD)
        .values("run")
        .annotate(people=Sum("audience"))
    )
    sizes = [row["people"] for row in sums.order_by() if row["people"]]
    return round(median(sizes)) if len(sizes) >= 3 else 0
