"""One look before a launch: what a dry run comes to, what is in the way, what to think about, and who has approved."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from django.core import signing
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns import approval, composing, experimenting, launching, previewing
from campaigns.approval import Standing
from campaigns.models import Campaign, CampaignVersion, Experiment
from campaigns.timetable import shown
from delivery import experiments, runs
from delivery.dryrun import Rehearsal
from delivery.models import Credential, Gate, Page, Run
from delivery.policy import throttle, window
from delivery.snapshot import Experiment as Frozen
from delivery.snapshot import Snapshot, from_json
from devices import facts, segments
from devices.known_zones import known_locales
from devices.models import Application, FactKind, Preference, Provider, Subscriber
from devices.predicates import BEHAVIOUR
from devices.words import number, percent

LONG_TTL = 7 * 86_400
SHORT_TTL = 300
HELD_BACK = 0.4
"""The share held by quiet hours from which on to ask whether the time is right."""
USUAL_TIMES = 3
LOOKED_AT = 10
"""Runs that say how large an audience is usual."""
WORTH_A_CONTROL = 10_000
"""People from whom on a tenth who are told nothing shows what a campaign does: a difference of some three points."""
OPTED_OUT = 10_000
"""People who opted out lately that are looked through for a canary's."""
FRESH = 3_600
"""Seconds for which numbers that were looked at may be approved."""

_SALT = "campaigns.preflight"


class Warning(NamedTuple):
    """Something to think about before a launch: a sentence, the composer's field to change, the campaign's place.

    Both may be empty; the place (as `locales.de.title`) is empty where it is the field.
    """

    text: str
    field: str = ""
    place: str = ""

    @property
    def pointer(self) -> str:
        """Where it stands in the campaign as a document (RFC 6901), empty for the whole of it."""
        place = self.place or self.field
        return f"/{place.replace('.', '/')}" if place else ""


class Preflight(NamedTuple):
    """What a launch would come to. With `problems` nothing can be launched; `rehearsal` is None with the worst.

    `warnings` are to think about; `notes` are good to know and in nobody's way.
    """

    campaign: Campaign
    rehearsal: Rehearsal | None
    problems: list[Warning]
    warnings: list[Warning]
    standing: Standing | None
    digest: str
    snapshot: Snapshot | None = None
    notes: Sequence[Warning] = ()

    @property
    def numbers(self) -> dict[str, Any]:
        """What an approval signs besides the content."""
        return approval.numbers_of(self.rehearsal) if self.rehearsal else {}

    @property
    def seal(self) -> str:
        """What says later which text and numbers somebody looked at (`seen`), empty while something is in the way."""
        if self.problems or self.rehearsal is None:
            return ""
        said = {"campaign": str(self.campaign.uid), "digest": self.digest, "numbers": self.numbers}
        return signing.dumps(said, salt=_SALT, compress=True)


class Canary(NamedTuple):
    """How a canary went: people told, messages and failures by reason, people who opted out since.

    `experiment` is the one whose variants it compares, `winner` the variant that the others will be told alone.
    """

    version: CampaignVersion
    run: Run
    progress: runs.Progress
    opted_out: int
    experiment: Experiment | None = None
    winner: str = ""

    @property
    def failed_share(self) -> float:
        return self.progress.outcomes.get("failed", 0) / max(1, self.progress.messages)


def look(campaign: Campaign, *, quickly: bool = False, everybody: bool = False) -> Preflight:
    """Return what stands before a launch of what the campaign says now.

    A large audience is sampled: `quickly`, from fewer people; `everybody`: it is not.
    """
    try:
        snapshot = launching.checked_snapshot(campaign)
    except launching.LaunchError as error:
        field = composing.field_of(error.field, locale=campaign.application.locale)[0]
        return Preflight(campaign, None, [Warning(str(error), field, error.field)], [], None, "")
    rehearsal = launching.rehearse(campaign, snapshot, quickly=quickly, everybody=everybody)
    digest = approval.digest_of(campaign, snapshot)
    standing = approval.standing(campaign, digest=digest, audience=rehearsal.audience)
    problems = [
        Warning(
            _(
                "%(count)s of %(weighed)s messages to %(provider)s are too large even with their texts cut: the largest"
                " has %(largest)s bytes, %(limit)s are taken. Make the data smaller."
            )
            % {
                "count": number(one.too_large),
                "weighed": number(one.weighed),
                "provider": Provider(name).label,
                "largest": number(one.largest),
                "limit": number(one.limit),
            },
            "data",
        )
        for name, one in rehearsal.bytes.items()
        if one.too_large
    ]
    warnings = _warnings(campaign, snapshot, rehearsal)
    notes = _notes(campaign, snapshot, rehearsal)
    return Preflight(campaign, rehearsal, problems, warnings, standing, digest, snapshot, notes)


def seen(campaign: Campaign, seal: str = "") -> dict[str, Any]:
    """Return the numbers that somebody acts on: those of a `Preflight.seal`, without one those counted now.

    Raises `LaunchError` when what was sealed is too old or something else by now, and when something is in the way.
    """
    if not seal:
        found = look(campaign)
        if found.problems:
            first = found.problems[0]
            raise launching.LaunchError(first.place or first.field, first.text)
        return found.numbers
    try:
        said: dict[str, Any] = signing.loads(seal, salt=_SALT, max_age=FRESH)
    except signing.BadSignature:
        raise launching.LaunchError(
            launching.CHANGED, _("These numbers are too old: look again, nothing was done.")
        ) from None
    snapshot = launching.checked_snapshot(campaign)
    if said["campaign"] != str(campaign.uid) or said["digest"] != approval.digest_of(campaign, snapshot):
        raise launching.LaunchError(
            launching.CHANGED, _("It was edited while you looked: look again, nothing was done.")
        )
    numbers: dict[str, Any] = said["numbers"]
    if approval.drifted(int(numbers["audience"]), approval.audience_of(campaign.application, snapshot)):
        raise launching.LaunchError(
            launching.CHANGED,
            _("Its audience changed by more than a tenth while you looked: look again, nothing was done."),
        )
    return numbers


def canary_of(campaign: Campaign) -> Canary | None:
    """Return the canary that waits for somebody to decide, None when there is none."""
    try:
        version = launching.waiting_canary(campaign)
    except launching.LaunchError:
        return None
    run = Run.objects.filter(uid=launching.canary_uid(version)).first()
    if run is None:
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
    opted_out = sum(share.holds(uid.bytes) for uid in left)
    return Canary(version, run, runs.progress(run), opted_out, *_compared(version))


def compared(snapshot: Snapshot) -> Frozen | None:
    """Return the experiment whose variants are compared, of which a winner may be chosen while a canary waits."""
    trial = snapshot.experiment
    return trial if trial is not None and not trial.winner and len(trial.variants) > 1 else None


def _compared(version: CampaignVersion) -> tuple[Experiment | None, str]:
    """Return the experiment whose variants a canary's people were told, and the winner chosen since, if any."""
    snapshot = from_json(version.snapshot)
    trial = compared(snapshot)
    if trial is None:
        return None, ""
    now = experimenting.with_winner(snapshot).experiment
    return Experiment.objects.filter(uid=trial.key).first(), now.winner if now else ""


def _about_texts(snapshot: Snapshot, application: Application) -> list[Warning]:
    """Return what is odd in the campaign's texts, and then in those of the variants that are tried."""
    found: list[Warning] = []
    said = previewing.problems_of(snapshot, application)
    for problem in said:
        field, place = composing.field_of(problem.field, locale=application.locale)
        kept = composing.place_of(problem.field, locale=application.locale)
        found.append(Warning(f"{_place(field, place)}: {problem.text}", field, kept))
    for variant in snapshot.experiment.variants if snapshot.experiment else ():
        for problem in previewing.problems_of(experiments.told(snapshot, variant.key), application):
            if problem not in said:
                field, place = composing.field_of(problem.field, locale=application.locale)
                where = {"variant": variant.key, "place": _place(field, place), "text": problem.text}
                said_so = _("variant %(variant)s, %(place)s: %(text)s") % where
                found.append(Warning(said_so, place="experiment"))
    return found


def _place(field: str, place: str) -> str:
    return f"{field.replace('__', ', ').removesuffix('_options')}{', ' + place if place else ''}"


def _warnings(campaign: Campaign, snapshot: Snapshot, rehearsal: Rehearsal) -> list[Warning]:
    application = campaign.application
    found = _about_texts(snapshot, application)
    found += _about_languages(campaign, snapshot)
    if _is_measured(snapshot) and not _has_a_control(snapshot):
        said = (
            _("It has a goal and no control group: nobody will know what would have happened without it.")
            if snapshot.goal
            else _(
                "It compares variants and has no control group: nobody will know what would have happened without it."
            )
        )
        found.append(Warning(said, place="experiment"))
    found += _about_behaviour(campaign, snapshot)
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


def _notes(campaign: Campaign, snapshot: Snapshot, rehearsal: Rehearsal) -> list[Warning]:
    """Return what is good to know: that a campaign to many, if nobody waits for it, has no control group."""
    awaited = campaign.transactional or campaign.critical_override
    if awaited or rehearsal.audience < WORTH_A_CONTROL or _is_measured(snapshot) or _has_a_control(snapshot):
        return []
    return [
        Warning(
            _(
                "It has no control group: told to so many, a tenth who are told nothing would show what it brings"
                " about."
            ),
            place="experiment",
        )
    ]


def _is_measured(snapshot: Snapshot) -> bool:
    return bool(snapshot.experiment or snapshot.goal)


def _has_a_control(snapshot: Snapshot) -> bool:
    return bool(snapshot.experiment and snapshot.experiment.control)


def _about_window(campaign: Campaign, snapshot: Snapshot, rehearsal: Rehearsal) -> list[Warning]:
    """Say when the window has a launch wait, and when it is too short for so many people at that rate."""
    policy, zone, found = snapshot.policy, campaign.application.time_zone, []
    if campaign.event_type_id is not None or not window.is_on(policy):
        return []
    now = timezone.now()
    if not campaign.repeat and launching.begins_at(campaign, now) > launching.asked_at(campaign, now):
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


def _about_behaviour(campaign: Campaign, snapshot: Snapshot) -> list[Warning]:
    """Name what the segment asks of days on which nobody counted it yet."""
    asked: dict[str, int] = {}
    for condition in segments.conditions(segments.parse(snapshot.predicate, whole=True)):
        if condition.field in BEHAVIOUR:
            asked[condition.kind] = max(asked.get(condition.kind, 0), int(condition.values[2]))
    if not asked:
        return []
    now = timezone.now()
    kinds = FactKind.objects.filter(application=campaign.application_id, wanted=True, name__in=asked)
    since = dict(kinds.values_list("name", "since"))
    return [
        Warning(
            _(
                "Its segment asks for “%(what)s” in the last %(days)s days, which is counted since %(day)s only: who"
                " did it before that is taken for somebody who did not."
            )
            % {"what": facts.said_of(kind), "days": days, "day": f"{since.get(kind, now):%Y-%m-%d}"},
            "segment",
        )
        for kind, days in sorted(asked.items())
        if since.get(kind, now).date() > now.date() - timedelta(days=days - 1)
    ]


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
            % {"provider": gate.get_provider_display(), "reason": gate.because}
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
