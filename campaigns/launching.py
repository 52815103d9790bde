"""Campaigns go live here: from what marketers wrote to a version, and from a version to a run.

`draft → in review → approved → live → ended`, and `archived` from any of them that is not live.
What is live is a version: an edit of an approved or live campaign becomes one when it is
approved or launched, and runs keep theirs.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec
import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from campaigns import approval, composing, experimenting, recurrence, triggering
from campaigns.content import BASE, ContentError, build
from campaigns.models import Campaign, CampaignVersion
from campaigns.policy import PolicyError, opened
from campaigns.policy import build as build_policy
from campaigns.schedule import CrontabError, ZoneError
from delivery import dryrun, experiments, remarks, rendering, runs, weighing
from delivery.models import Credential, Run
from delivery.snapshot import WHOLE, Share, Snapshot, digest, from_json, to_json
from devices import audit
from devices.segments import PredicateError
from devices.words import number, one_of, within

log = structlog.get_logger(__name__)

State = Campaign.State
MOVES: dict[str, tuple[tuple[str, ...], str]] = {
    "submit": ((State.DRAFT,), State.IN_REVIEW),
    "withdraw": ((State.IN_REVIEW, State.APPROVED), State.DRAFT),
    "approve": ((State.DRAFT, State.IN_REVIEW, State.ENDED), State.APPROVED),
    "launch": ((State.DRAFT, State.IN_REVIEW, State.APPROVED, State.ENDED), State.LIVE),
    "end": ((State.APPROVED, State.LIVE), State.ENDED),
    "archive": ((State.DRAFT, State.IN_REVIEW, State.APPROVED, State.ENDED), State.ARCHIVED),
}
"""What may be done to a campaign, in which states, and the state that follows."""
VERBS = {
    "submit": gettext_noop("submit"),
    "withdraw": gettext_noop("withdraw"),
    "approve": gettext_noop("approve"),
    "launch": gettext_noop("launch"),
    "end": gettext_noop("end"),
    "archive": gettext_noop("archive"),
}

NOT_APPROVED = "approval"
"""The field of a `LaunchError` for an approval that is missing or not allowed."""
CHANGED = "changed"
"""The field of a `LaunchError` for a campaign that is another by now than somebody saw."""
QUICKLY = 2_000
"""People whom the dry run of a page looks at: each share is right to within about 2 %."""
MOST_CANARY = 50
"""Per cent of an audience: the largest share that may be told first."""
IN_FORCE = (State.APPROVED, State.LIVE)
"""States in which rules and requests may use a campaign's newest version."""


class LaunchError(Exception):
    """A campaign that cannot be used as it is: `field` of the campaign (as `locales.de.title`) and a sentence."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(reason)


def snapshot_of(campaign: Campaign) -> Snapshot:
    """Return what the campaign says now, as delivery is handed it; raises `LaunchError` for malformed content.

    Templates are not compiled here: `delivery.rendering.check` does that.
    """
    base = {name: getattr(campaign, name) for name in BASE}
    locale = campaign.application.locale
    try:
        content = build(base, locale=locale, locales=campaign.locales, overrides=campaign.overrides)
    except ContentError as error:
        raise LaunchError(error.field, f"{error.field}: {error.reason}.") from None
    _check_repeat(campaign)
    try:
        triggering.check(campaign)
    except triggering.TriggerError as error:
        raise LaunchError(error.field, error.reason) from None
    category = campaign.category
    try:
        predicate = campaign.segment.whole if campaign.segment else None
    except PredicateError as error:
        raise LaunchError(
            "segment",
            _("The segment “%(segment)s” cannot be used. %(error)s")
            % {"segment": campaign.segment, "error": error},
        ) from None
    try:
        policy = build_policy(campaign, overridable=bool(category and category.critical_overrides))
    except PolicyError as error:
        raise LaunchError(error.field, error.reason) from None
    snapshot = Snapshot(
        texts=content.texts,
        locale=locale,
        overrides=content.overrides,
        predicate=predicate,
        category=category.key if category else "",
        ttl=campaign.ttl,
        policy=policy,
        silence_across_devices=campaign.silence_across_devices,
    )
    try:
        return experimenting.add_to(snapshot, campaign)
    except experimenting.ExperimentError as error:
        raise LaunchError("experiment", _("Its experiment: %(reason)s") % {"reason": error.reason}) from None


def _check_repeat(campaign: Campaign) -> None:
    """Refuse a repetition that cannot be read, never comes, or ends before it begins."""
    if not campaign.repeat:
        return
    now = timezone.now()
    begins = asked_at(campaign, now)
    zone = campaign.repeat_zone or campaign.application.time_zone
    try:
        recurrence.check_pace(campaign.repeat, zone, after=begins)
    except (CrontabError, recurrence.RepeatError) as error:
        raise LaunchError("repeat", str(error)) from None
    except ZoneError as error:
        raise LaunchError("repeat_zone", str(error)) from None
    if campaign.repeat_until is not None and campaign.send_at and campaign.repeat_until <= campaign.send_at:
        raise LaunchError(
            "repeat_until", _("It ends before it begins: choose a later end, or an earlier start.")
        )


def checked_snapshot(campaign: Campaign) -> Snapshot:
    """Return `snapshot_of` when its texts render and fit; raises `LaunchError` with the first field and reason."""
    snapshot = snapshot_of(campaign)
    for problem in rendering.check(snapshot):
        field = composing.place_of(problem.field, locale=snapshot.locale)
        raise LaunchError(
            field,
            _("%(field)s, line %(line)s: %(reason)s.")
            % {"field": field, "line": problem.line, "reason": problem.reason},
        )
    for variant in snapshot.experiment.variants if snapshot.experiment else ():
        for problem in rendering.check(experiments.told(snapshot, variant.key)):
            where = f"variant {variant.key}, {problem.field.removeprefix('texts.')}"
            raise LaunchError(
                "experiment",
                _("Its experiment, %(where)s, line %(line)s: %(reason)s.")
                % {"where": where, "line": problem.line, "reason": problem.reason},
            )
    if found := weighing.too_large(snapshot, _providers_of(campaign)):
        raise LaunchError(found.field, f"{found.field}: {found.reason}.")
    return snapshot


def _providers_of(campaign: Campaign) -> Iterator[str]:
    """Yield the providers that the campaign's application has credentials for; asked for only when it matters."""
    yield from Credential.objects.filter(application=campaign.application_id).values_list(
        "provider", flat=True
    )


def save_version(campaign: Campaign) -> CampaignVersion:
    """Return the version that says what the campaign says now: the newest, or a new one if it differs.

    Raises `LaunchError` when the content does not render.
    """
    snapshot = checked_snapshot(campaign)
    with transaction.atomic():
        _lock(campaign)
        newest = campaign.versions.first()
        if newest is not None and newest.digest == digest(snapshot) and newest.launch_at is None:
            return newest
        return _new_version(campaign, snapshot, newest)


def approve(
    campaign: Campaign, *, by: object, may_override: bool = False, numbers: dict[str, Any] | None = None
) -> CampaignVersion | None:
    """Approve what the campaign says now, so that rules and requests may use it; raises `LaunchError`.

    Returns the approved version, or None while the application wants somebody else's approval too. A live campaign
    stays live and goes on with the new version. `may_override`: whoever approves it may let it override preferences
    and quiet hours. `numbers` are those of the dry run that the approver saw (`approval.numbers_of`), those of one
    now for who saw none.
    """
    _check_override(campaign, may_override)
    snapshot = checked_snapshot(campaign)
    if numbers is None:
        numbers = approval.numbers_of(rehearse(campaign, snapshot))
    author, audience = approval.author_of(by), approval.audience_of(campaign.application, snapshot)
    signed = approval.digest_of(campaign, snapshot)
    with transaction.atomic():
        _lock(campaign)
        found = approval.standing(campaign, digest=signed, audience=audience)
        if refusal := approval.refusal(campaign, author, found):
            raise LaunchError(NOT_APPROVED, refusal)
        approval.record(campaign, digest=signed, numbers={**numbers, "audience": audience}, author=author)
        found = approval.standing(campaign, digest=signed, audience=audience)
        if not found.complete:
            if campaign.state == State.DRAFT:
                move(campaign, "submit")
            log.info("campaign.approved_in_part", campaign=str(campaign.uid), by=author)
            return None
        version = save_version(campaign)
        if campaign.state not in IN_FORCE:
            move(campaign, "approve")
        _hand_on(campaign, version, audience if found.needed else None)
        if campaign.state == State.LIVE:
            triggering.arm(campaign)
        _settle(campaign)
    log.info("campaign.approved", campaign=str(campaign.uid), version=version.number, by=str(by))
    return version


def _hand_on(campaign: Campaign, version: CampaignVersion, approved: int | None) -> None:
    """Let the next time of a recurring campaign be told in the words approved now, to as many as were `approved`."""
    waiting = (
        campaign.versions.filter(launch_at__isnull=False, launched_at=None).exclude(pk=version.pk).first()
    )
    if campaign.repeat and waiting is not None:
        CampaignVersion.objects.filter(pk=version.pk).update(
            launch_at=waiting.launch_at, approved_audience=approved
        )
        CampaignVersion.objects.filter(pk=waiting.pk).update(launch_at=None)
        version.refresh_from_db()


def _settle(campaign: Campaign) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(settled=True)
    campaign.settled = True


def check_approved(campaign: Campaign, snapshot: Snapshot) -> int | None:
    """Return the audience that a launch is approved for, None where none is needed; raises `LaunchError`."""
    application = campaign.application
    if application.approval_from is None and application.second_approval_from is None:
        return None
    audience = approval.audience_of(application, snapshot)
    found = approval.standing(campaign, digest=approval.digest_of(campaign, snapshot), audience=audience)
    if not found.needed:
        return None
    if found.complete:
        return audience
    void = [
        _("An approval by %(names)s is void: %(void)s.")
        % {"names": approval.names([found.void[0][0]]), "void": found.void[0][1]}
        for _one in found.void[:1]
    ]
    raise LaunchError(
        NOT_APPROVED,
        " ".join(
            [
                ngettext(
                    "A launch to %(audience)s people needs %(needed)s approval by people who did not write it;",
                    "A launch to %(audience)s people needs %(needed)s approvals by people who did not write it;",
                    found.needed,
                )
                % {"audience": number(audience), "needed": found.needed},
                ngettext("%(missing)s is missing.", "%(missing)s are missing.", found.missing)
                % {"missing": found.missing},
                *void,
            ]
        ),
    )


def launch(
    campaign: Campaign, *, by: object, may_override: bool = False, canary: int = 0
) -> Run | CampaignVersion:
    """Launch the campaign to its audience: return its run, or the version that the clock is to start at `send_at`.

    A `send_at` that has passed means at once; a window that is shut then is waited for. `may_override` is as for
    `approve`. `canary`: so many per cent of the audience are told first, the others when somebody says so (`go_on`). A
    recurring campaign waits for its first time; one that an event starts has its version and no run. Raises
    `LaunchError` when the content does not render, when approvals are missing and when the campaign's state does not
    allow it, as when somebody else has launched it just now.
    """
    if not 0 <= canary <= MOST_CANARY:
        raise LaunchError("canary", canary_wanted())
    _check_override(campaign, may_override)
    snapshot = checked_snapshot(campaign)
    now = timezone.now()
    if campaign.event_type_id is not None:
        return _launch_on_events(campaign, snapshot, by=by, canary=canary)
    begins = begins_at(campaign, now)
    later = begins if begins > now else None
    if campaign.repeat:
        later = _next_time(campaign, after=asked_at(campaign, now))
        if later is None:
            raise LaunchError("repeat", _("It would never be told: it ends before its first time."))
        if canary:
            raise LaunchError(
                "repeat", _("A recurring campaign has no canary: launch it once with one before.")
            )
    with transaction.atomic():
        move(campaign, "launch")
        approved = check_approved(campaign, snapshot)
        version = _new_version(
            campaign,
            snapshot,
            campaign.versions.first(),
            launch_at=later or now,
            canary=canary,
            approved_audience=approved,
        )
        _settle(campaign)
        log.info(
            "campaign.launched",
            campaign=str(campaign.uid),
            version=version.number,
            at=version.launch_at and version.launch_at.isoformat(),
            by=str(by),
        )
        return version if later else _begin(version, now)


def canary_wanted() -> str:
    """Return what is said of a canary's share that is none."""
    return _("Write a whole number of per cent, from 1 to %(most)s.") % {"most": MOST_CANARY}


def _launch_on_events(campaign: Campaign, snapshot: Snapshot, *, by: object, canary: int) -> CampaignVersion:
    """Put a campaign that an event starts in force: from now on whom its events are about is told."""
    if canary:
        raise LaunchError("event_type", _("It is told one by one as its event comes: it has no canary."))
    with transaction.atomic():
        move(campaign, "launch")
        approved = check_approved(campaign, snapshot)
        version = _new_version(campaign, snapshot, campaign.versions.first(), approved_audience=approved)
        triggering.arm(campaign)
        _settle(campaign)
    log.info("campaign.launched", campaign=str(campaign.uid), version=version.number, by=str(by))
    return version


def _check_override(campaign: Campaign, may_override: bool) -> None:
    if campaign.critical_override and not may_override:
        raise LaunchError(
            "critical_override",
            _(
                "It overrides preferences and quiet hours: only approvers and administrators, and keys with the scope"
                " campaigns:override, may approve or launch it."
            ),
        )


def rehearse(
    campaign: Campaign, snapshot: Snapshot | None = None, *, quickly: bool = False, everybody: bool = False
) -> dryrun.Rehearsal:
    """Return what a launch would come to, at once, at `send_at` or at the first of its times.

    `snapshot` is the `checked_snapshot` of whoever has it. `quickly`: for a page that answers at once, from fewer
    people and to a segment of about so many; `everybody`: from all there are. Raises `LaunchError` (`delivery.dryrun`).
    """
    now = timezone.now()
    begins = begins_at(campaign, now)
    if campaign.repeat:
        begins = _next_time(campaign, after=asked_at(campaign, now)) or begins
    return dryrun.rehearse(
        application=campaign.application,
        snapshot=snapshot or checked_snapshot(campaign),
        lane=campaign.lane,
        category=campaign.category,
        at=begins.timestamp() if begins > now else None,
        looked_at=QUICKLY if quickly else dryrun.LOOKED_AT,
        estimated=quickly,
        everybody=everybody,
    )


def launch_due(now: datetime) -> int:
    """Start the versions whose time has come; return how many. Several clocks start each once."""
    due = CampaignVersion.objects.filter(
        launch_at__lte=now, launched_at=None, campaign__state=State.LIVE
    ).select_related("campaign__application", "campaign__category")
    started = 0
    for version in due.order_by("launch_at")[:100]:
        try:
            with transaction.atomic():
                # the losing branch: another clock's UPDATE came first, and its transaction makes the run
                if CampaignVersion.objects.filter(pk=version.pk, launched_at=None).update(launched_at=now):
                    if _drifted(version):
                        continue
                    _begin(version, now)
                    audit.note(audit.clock(), "launch", version.campaign)
                    _plan_next(version, now)
                    started += 1
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError):
            log.exception("campaign.not_started", campaign=str(version.campaign.uid), version=version.number)
    return started


def _drifted(version: CampaignVersion) -> bool:
    """Take a planned launch back whose audience is not what it was approved for; somebody has to look again."""
    campaign = version.campaign
    if version.approved_audience is None:
        return False
    now = approval.audience_of(campaign.application, from_json(version.snapshot))
    if not approval.drifted(version.approved_audience, now):
        return False
    CampaignVersion.objects.filter(pk=version.pk).update(launch_at=None, launched_at=None)
    Campaign.objects.filter(pk=campaign.pk, state=State.LIVE).update(state=State.IN_REVIEW)
    said = f"The audience was {version.approved_audience:,} people when it was approved, now it is {now:,}."
    audit.note(audit.clock(), "take_back", campaign, says=said)
    log.error(
        "campaign.approval_void", campaign=str(campaign.uid), approved=version.approved_audience, audience=now
    )
    return True


def begins_at(campaign: Campaign, now: datetime) -> datetime:
    """Return when a launch at `now` begins: then, at `send_at`, or when the campaign's window opens after that."""
    return opened(campaign, asked_at(campaign, now), campaign.application.time_zone)


def asked_at(campaign: Campaign, now: datetime) -> datetime:
    """Return when a launch at `now` is asked to begin: then, or at a `send_at` to come."""
    return max(campaign.send_at or now, now)


def _next_time(campaign: Campaign, *, after: datetime) -> datetime | None:
    """Return the next time of a recurring campaign, None when it has ended."""
    zone = campaign.repeat_zone or campaign.application.time_zone
    until = campaign.repeat_until
    coming = recurrence.occurrences(campaign.repeat, zone, after=after, until=until)
    first = next(coming, None)
    if first is None:
        return None
    first = opened(campaign, first, campaign.application.time_zone)
    return None if until is not None and first > until else first


def _plan_next(version: CampaignVersion, now: datetime) -> None:
    """Plan the next time of a recurring campaign, in the words approved last; missed times are not made up."""
    campaign = version.campaign
    if not campaign.repeat:
        return
    at = _next_time(campaign, after=max(version.launch_at or now, now))
    newest = campaign.versions.first()
    if at is not None and newest is not None:
        _new_version(
            campaign,
            from_json(newest.snapshot),
            newest,
            launch_at=at,
            approved_audience=newest.approved_audience,
        )


def waiting_canary(campaign: Campaign) -> CampaignVersion:
    """Return the version whose canary waits for a decision; raises `LaunchError` when none does."""
    found = campaign.versions.filter(canary_state="waiting").select_related("campaign__application").first()
    if found is None:
        raise LaunchError("state", _("No canary waits: somebody has decided already."))
    return found


def go_on(version: CampaignVersion, *, by: object) -> Run:
    """Tell the others after a canary; raises `LaunchError` when it does not wait for that any more."""
    campaign = version.campaign
    with transaction.atomic():
        _decide(version, "went_on")
        run = _run_of(version, from_json(version.snapshot), first=False)
    log.info("campaign.canary_went_on", campaign=str(campaign.uid), version=version.number, by=str(by))
    return run


def stop_canary(version: CampaignVersion, *, by: object) -> None:
    """End a campaign after its canary: the others are not told. Raises `LaunchError`."""
    with transaction.atomic():
        _decide(version, "stopped")
        run = Run.objects.filter(uid=canary_uid(version)).first()
        if run is not None and run.state in runs.TRANSITIONS["cancel"][0]:
            runs.cancel(run, reason=remarks.CANARY_STOPPED)
    log.info(
        "campaign.canary_stopped", campaign=str(version.campaign.uid), version=version.number, by=str(by)
    )


def _decide(version: CampaignVersion, state: str) -> None:
    waiting = CampaignVersion.objects.filter(
        pk=version.pk, canary_state="waiting", campaign__state=State.LIVE
    )
    if not waiting.update(canary_state=state):
        raise LaunchError("state", _("This canary waits for nobody any more: somebody has decided already."))
    version.canary_state = state


def unschedule(campaign: Campaign) -> None:
    """Take a launch back whose time has not come; the campaign is approved again. Raises `LaunchError`."""
    with transaction.atomic():
        _lock(campaign)
        if not campaign.versions.filter(launch_at__isnull=False, launched_at=None).update(launch_at=None):
            raise LaunchError("state", _("No launch of this campaign is waiting for its time."))
        Campaign.objects.filter(pk=campaign.pk, state=State.LIVE).update(state=State.APPROVED)
    campaign.refresh_from_db(fields=["state"])


def move(campaign: Campaign, action: str) -> None:
    """Do one of `MOVES` to a campaign; raises `LaunchError` when its state does not allow it."""
    allowed, state = MOVES[action]
    if not Campaign.objects.filter(pk=campaign.pk, state__in=allowed).update(state=state):
        campaign.refresh_from_db(fields=["state"])
        listed = one_of([within(State(one).label) for one in allowed])
        reason = _("This campaign is %(state)s; to %(action)s it, it must be %(listed)s.") % {
            "state": within(campaign.get_state_display()),
            "action": _(VERBS[action]),
            "listed": listed,
        }
        raise LaunchError("state", reason)
    campaign.state = state
    if state not in IN_FORCE:
        triggering.disarm(campaign)


def end_finished() -> int:
    """End the live campaigns whose launched runs are over and that no enabled rule uses; return how many."""
    versions = CampaignVersion.objects.filter(campaign__state=State.LIVE).select_related("campaign")
    versions = versions.exclude(campaign__versions__canary_state="waiting")
    live: dict[int, list[CampaignVersion]] = {}
    for version in versions.exclude(campaign__rules__enabled=True).exclude(launch_at=None).defer("snapshot"):
        live.setdefault(version.campaign_id, []).append(version)
    origins = {origin(version): key for key, group in live.items() for version in group}
    going = {
        origins[name]
        for name in Run.objects.filter(
            origin__in=origins, state__in=[Run.State.PLANNED, Run.State.RUNNING, Run.State.PAUSED]
        ).values_list("origin", flat=True)
    }
    over = [key for key, group in live.items() if key not in going and all(one.launched_at for one in group)]
    return Campaign.objects.filter(pk__in=over, state=State.LIVE).update(state=State.ENDED) if over else 0


def origin(version: CampaignVersion) -> str:
    """Return what the runs of a launched version are known by."""
    return f"campaign:{version.campaign.uid}:v{version.number}"


def run_uid(version: CampaignVersion) -> UUID:
    """Return the uid of a version's run, the same whoever starts it."""
    return uuid5(version.campaign.uid, f"v{version.number}")


def first_uid(version: CampaignVersion) -> UUID:
    """Return the uid of the run that a version begins with: its canary's, if it has one."""
    return canary_uid(version) if version.canary else run_uid(version)


def canary_uid(version: CampaignVersion) -> UUID:
    """Return the uid of the run that tells a version's canary."""
    return uuid5(version.campaign.uid, f"v{version.number}:canary")


def canary_share(version: CampaignVersion) -> Share:
    """Return which part of the audience is told first."""
    return Share(0, version.canary * WHOLE // 100, salt=f"{version.campaign.uid}:{version.number}")


def _begin(version: CampaignVersion, now: datetime) -> Run:
    values = {"launched_at": now, **({"canary_state": "waiting"} if version.canary else {})}
    CampaignVersion.objects.filter(pk=version.pk).update(**values)
    return _run_of(version, from_json(version.snapshot), first=True, begun=version.launch_at or now)


def _run_of(
    version: CampaignVersion, snapshot: Snapshot, *, first: bool, begun: datetime | None = None
) -> Run:
    campaign, title, uid = version.campaign, version.campaign.name, run_uid(version)
    if version.canary:
        share = canary_share(version)
        if first:
            words = {"campaign": title[:160], "share": f"{version.canary}%"}
            title, uid = remarks.CANARY_TITLE % words, canary_uid(version)
        else:
            share = msgspec.structs.replace(share, low=share.high, high=WHOLE)
        snapshot = msgspec.structs.replace(snapshot, share=share)
    snapshot = experimenting.with_winner(snapshot)
    if begun is not None:
        policy = msgspec.structs.replace(snapshot.policy, begun=begun.timestamp())
        snapshot = msgspec.structs.replace(snapshot, policy=policy)
    return runs.launch(
        application=campaign.application,
        origin=origin(version),
        title=title,
        lane=campaign.lane,
        snapshot=snapshot,
        category=campaign.category,
        expires_at=runs.ends_at(campaign.application, snapshot, begun or timezone.now()),
        uid=uid,
    )


def _new_version(
    campaign: Campaign,
    snapshot: Snapshot,
    newest: CampaignVersion | None,
    launch_at: datetime | None = None,
    **values: Any,
) -> CampaignVersion:
    return CampaignVersion.objects.create(
        **values,
        campaign=campaign,
        number=newest.number + 1 if newest else 1,
        snapshot=to_json(snapshot),
        digest=digest(snapshot),
        launch_at=launch_at,
    )


def _lock(campaign: Campaign) -> None:
    """Let one transaction at a time number the campaign's versions (SQLite's are one at a time anyhow)."""
    Campaign.objects.select_for_update().only("pk").get(pk=campaign.pk)
