"""Campaigns go live here: from what marketers wrote to a version, and from a version to a run.

`draft → in review → approved → live → ended`, and `archived` from any of them that is not live.
What is live is a version: an edit of an approved or live campaign becomes one when it is
approved or launched, and runs keep theirs.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid5

import msgspec
import structlog
from django.db import transaction
from django.utils import timezone

from campaigns.content import BASE, ContentError, build
from campaigns.models import Campaign, CampaignVersion
from campaigns.policy import PolicyError
from campaigns.policy import build as build_policy
from delivery import dryrun, rendering, runs, weighing
from delivery.models import Credential, Run
from delivery.snapshot import Snapshot, from_json, to_json
from devices.segments import PredicateError

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
    category = campaign.category
    try:
        predicate = campaign.segment.whole if campaign.segment else None
    except PredicateError as error:
        raise LaunchError("segment", f"The segment “{campaign.segment}” cannot be used. {error}") from None
    try:
        policy = build_policy(campaign, overridable=bool(category and category.critical_overrides))
    except PolicyError as error:
        raise LaunchError(error.field, error.reason) from None
    return Snapshot(
        texts=content.texts,
        locale=locale,
        overrides=content.overrides,
        predicate=predicate,
        category=category.key if category else "",
        ttl=campaign.ttl,
        policy=policy,
        silence_across_devices=campaign.silence_across_devices,
    )


def checked_snapshot(campaign: Campaign) -> Snapshot:
    """Return `snapshot_of` when its texts render and fit; raises `LaunchError` with the first field and reason."""
    snapshot = snapshot_of(campaign)
    for problem in rendering.check(snapshot):
        field = problem.field.removeprefix("texts.")
        if field.startswith(f"{snapshot.locale}."):
            field = field.removeprefix(f"{snapshot.locale}.")
        elif problem.field.startswith("texts."):
            field = f"locales.{field}"
        raise LaunchError(field, f"{field}, line {problem.line}: {problem.reason}.")
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
        if newest is not None and newest.digest == _digest(snapshot) and newest.launch_at is None:
            return newest
        return _new_version(campaign, snapshot, newest)


def approve(campaign: Campaign, *, by: object, may_override: bool = False) -> CampaignVersion:
    """Approve what the campaign says now, so that rules and requests may use it; raises `LaunchError`.

    A live campaign stays live and goes on with the new version. `may_override`: whoever approves
    it may let it override preferences and quiet hours.
    """
    _check_override(campaign, may_override)
    with transaction.atomic():
        version = save_version(campaign)
        if campaign.state not in IN_FORCE:
            move(campaign, "approve")
    log.info("campaign.approved", campaign=str(campaign.uid), version=version.number, by=str(by))
    return version


def launch(campaign: Campaign, *, by: object, may_override: bool = False) -> Run | CampaignVersion:
    """Launch the campaign to its audience: return its run, or the version that the clock is to start at `send_at`.

    A `send_at` that has passed means at once; `may_override` is as for `approve`. Raises
    `LaunchError` when the content does not render and when the campaign's state does not allow it,
    as when somebody else has launched it just now.
    """
    _check_override(campaign, may_override)
    snapshot = checked_snapshot(campaign)
    now = timezone.now()
    later = campaign.send_at if campaign.send_at is not None and campaign.send_at > now else None
    with transaction.atomic():
        move(campaign, "launch")
        version = _new_version(campaign, snapshot, campaign.versions.first(), launch_at=later or now)
        log.info(
            "campaign.launched",
            campaign=str(campaign.uid),
            version=version.number,
            at=version.launch_at and version.launch_at.isoformat(),
            by=str(by),
        )
        return version if later else _begin(version, now)


def _check_override(campaign: Campaign, may_override: bool) -> None:
    if campaign.critical_override and not may_override:
        raise LaunchError(
            "critical_override",
            "It overrides preferences and quiet hours: only approvers and owners, and keys with the scope"
            " campaigns:override, may approve or launch it.",
        )


def rehearse(campaign: Campaign, *, everybody: bool = False) -> dryrun.Rehearsal:
    """Return what a launch would come to, at once or at `send_at`; raises `LaunchError` (`delivery.dryrun`)."""
    now = timezone.now()
    at = campaign.send_at.timestamp() if campaign.send_at and campaign.send_at > now else None
    return dryrun.rehearse(
        application=campaign.application,
        snapshot=checked_snapshot(campaign),
        lane=campaign.lane,
        category=campaign.category,
        at=at,
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
                    _begin(version, now)
                    started += 1
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError):
            log.exception("campaign.not_started", campaign=str(version.campaign.uid), version=version.number)
    return started


def unschedule(campaign: Campaign) -> None:
    """Take a launch back whose time has not come; the campaign is approved again. Raises `LaunchError`."""
    with transaction.atomic():
        _lock(campaign)
        if not campaign.versions.filter(launch_at__isnull=False, launched_at=None).update(launch_at=None):
            raise LaunchError("state", "No launch of this campaign is waiting for its time.")
        Campaign.objects.filter(pk=campaign.pk, state=State.LIVE).update(state=State.APPROVED)
    campaign.refresh_from_db(fields=["state"])


def move(campaign: Campaign, action: str) -> None:
    """Do one of `MOVES` to a campaign; raises `LaunchError` when its state does not allow it."""
    allowed, state = MOVES[action]
    if not Campaign.objects.filter(pk=campaign.pk, state__in=allowed).update(state=state):
        campaign.refresh_from_db(fields=["state"])
        names = [State(one).label.lower() for one in allowed]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
        reason = (
            f"This campaign is {campaign.get_state_display().lower()}; to {action} it, it must be {listed}."
        )
        raise LaunchError("state", reason)
    campaign.state = state


def end_finished() -> int:
    """End the live campaigns whose launched runs are over and that no enabled rule uses; return how many."""
    versions = CampaignVersion.objects.filter(campaign__state=State.LIVE).select_related("campaign")
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


def _begin(version: CampaignVersion, now: datetime) -> Run:
    campaign = version.campaign
    snapshot = from_json(version.snapshot)
    CampaignVersion.objects.filter(pk=version.pk).update(launched_at=now)
    return runs.launch(
        application=campaign.application,
        origin=origin(version),
        title=campaign.name,
        lane=campaign.lane,
        snapshot=snapshot,
        category=campaign.category,
        expires_at=runs.ends_at(campaign.application, snapshot, version.launch_at or now),
        uid=run_uid(version),
    )


def _new_version(
    campaign: Campaign, snapshot: Snapshot, newest: CampaignVersion | None, launch_at: datetime | None = None
) -> CampaignVersion:
    return CampaignVersion.objects.create(
        campaign=campaign,
        number=newest.number + 1 if newest else 1,
        snapshot=to_json(snapshot),
        digest=_digest(snapshot),
        launch_at=launch_at,
    )


def _digest(snapshot: Snapshot) -> str:
    return hashlib.sha256(msgspec.json.encode(snapshot, order="deterministic")).hexdigest()


def _lock(campaign: Campaign) -> None:
    """Let one transaction at a time number the campaign's versions (SQLite's are one at a time anyhow)."""
    Campaign.objects.select_for_update().only("pk").get(pk=campaign.pk)
