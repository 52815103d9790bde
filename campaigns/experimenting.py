"""From a campaign's experiment to what delivery is handed down, and from what came of it to a winner."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from campaigns.composing import LOCALE_TEXTS, field_of
from campaigns.content import ContentError, build
from campaigns.models import Campaign, Experiment, Rule
from delivery import experiments, remarks, rendering, reports, statistics
from delivery.models import Run
from delivery.snapshot import Experiment as Frozen
from delivery.snapshot import Goal, Snapshot, Variant
from devices import audit

log = structlog.get_logger(__name__)

CHOSEN_BY = gettext_noop("Chosen by %(by)s.")
MOST_VARIANTS = 6
MOST_RUNS = 60
"""Latest runs whose numbers are added up."""


class ExperimentError(ValueError):
    """An experiment that cannot be launched: `field` (as `variants.B.title`) and a sentence."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(reason)


def of(campaign: Campaign) -> Experiment | None:
    """Return a campaign's experiment with its variants, None without one; two queries."""
    if not campaign.pk:
        return None
    found = Experiment.objects.filter(campaign=campaign).select_related("goal").prefetch_related("variants")
    return found.first()


def problems_of(texts: dict[str, str], locales: dict[str, Any], locale: str) -> list[tuple[str, str]]:
    """Return what is wrong with a variant's texts: one of `LOCALE_TEXTS` or `locales`, and a sentence."""
    try:
        content = build({name: text for name, text in texts.items() if text}, locale=locale, locales=locales)
    except ContentError as error:
        field, place = field_of(error.field, locale=locale)
        return [(field, f"{place or field}: {error.reason}.")]
    # what it leaves out is the campaign's, and no fault of its own
    said = {
        tag: msgspec.structs.replace(text, title=text.title or "…") for tag, text in content.texts.items()
    }
    found = []
    for problem in rendering.check(Snapshot(texts=said, locale=locale)):
        field, place = field_of(problem.field, locale=locale)
        where = _("line %(line)s: %(reason)s") % {"line": problem.line, "reason": problem.reason}
        found.append((field, f"{place or field}, {where}"))
    return found


def frozen(experiment: Experiment, locale: str) -> tuple[Goal | None, Frozen | None]:
    """Return what is frozen at launch: the goal, and what is compared (None when nothing is).

    Raises `ExperimentError`.
    """
    goal = Goal(experiment.goal.name, experiment.goal_hours * 3600) if experiment.goal else None
    rows = list(experiment.variants.all())
    if not rows and not experiment.control:
        return goal, None
    if experiment.metric == Experiment.Metric.CONVERTED and goal is None:
        raise ExperimentError("goal", _("It is compared by conversions: choose the event that is its goal."))
    if len(rows) > MOST_VARIANTS:
        raise ExperimentError(
            "variants",
            _("There are %(count)s variants; %(most_variants)s are the most.")
            % {"count": len(rows), "most_variants": MOST_VARIANTS},
        )
    variants = []
    for row in rows:
        if row.key.lower() == experiments.CONTROL:
            raise ExperimentError(f"variants.{row.key}", _("“control” is the group that is told nothing."))
        base = {name: getattr(row, name) for name in LOCALE_TEXTS if getattr(row, name)}
        try:
            texts = build(base, locale=locale, locales=row.locales).texts
        except ContentError as error:
            raise ExperimentError(
                f"variants.{row.key}.{error.field}", f"{error.field}: {error.reason}."
            ) from None
        said = {name: text for name, text in texts.items() if name != locale or base}
        variants.append(Variant(row.key, row.weight, said))
    if not variants:
        variants = [Variant("A")]
    return goal, Frozen(
        key=str(experiment.uid),
        variants=variants,
        control=experiment.control * 100,
        metric=experiment.metric,
        automatic=experiment.automatic,
        winner=experiment.winner if any(one.key == experiment.winner for one in variants) else "",
    )


def add_to(snapshot: Snapshot, campaign: Campaign) -> Snapshot:
    """Return a snapshot with the campaign's goal and experiment; raises `ExperimentError`."""
    experiment = of(campaign)
    if experiment is None:
        return snapshot
    goal, trial = frozen(experiment, snapshot.locale)
    return msgspec.structs.replace(snapshot, goal=goal, experiment=trial)


def with_winner(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot that was frozen earlier with the winner that was chosen since, if there is one."""
    trial = snapshot.experiment
    if trial is None:
        return snapshot
    row = Experiment.objects.filter(uid=trial.key).values_list("winner", flat=True).first()
    if not row or all(one.key != row for one in trial.variants):
        return snapshot
    return msgspec.structs.replace(snapshot, experiment=msgspec.structs.replace(trial, winner=row))


# -- the winner


def choose(experiment: Experiment, key: str, *, by: object) -> None:
    """Have later launches tell one variant alone; an empty key compares them again. Raises `ExperimentError`."""
    if key and not experiment.variants.filter(key=key).exists():
        raise ExperimentError("winner", _("There is no variant “%(key)s”.") % {"key": key[:50]})
    experiment.winner = key
    experiment.decided_at = timezone.now() if key else None
    experiment.because = (CHOSEN_BY % {"by": by})[:300] if key else ""
    experiment.save(update_fields=["winner", "decided_at", "because"])
    log.info("experiment.winner", campaign=str(experiment.campaign_id), winner=key, by=str(by))


def because(experiment: Experiment) -> str:
    """Return why an experiment has its winner, or none, in the language that is active."""
    return remarks.said(experiment.because, (CHOSEN_BY, *statistics.REMARKS))


def runs_of(experiment: Experiment) -> list[Run]:
    """Return the latest runs of the campaign that compared something of this experiment, newest first."""
    mine = Q(origin__startswith=f"campaign:{experiment.campaign.uid}:")
    for uid in Rule.objects.filter(campaign=experiment.campaign_id, of_campaign=True).values_list(
        "uid", flat=True
    ):
        mine |= Q(origin__startswith=f"rule:{uid}:")
    rows = Run.objects.filter(
        mine,
        application=experiment.application_id,
        snapshot__experiment__key=str(experiment.uid),
    ).exclude(snapshot__experiment__has_key="winner")
    return list(rows.defer("snapshot").order_by("-created_at")[:MOST_RUNS])


def pooled(experiment: Experiment, runs: Sequence[Run]) -> list[statistics.Arm]:
    """Return the variants with the people whom some runs told, and who of them did what is measured.

    A recurring campaign tells the same people again, each time in the same arm: they are no new evidence. So several
    runs count as their mean over as many people as the largest of them told.
    """
    whole = reports.pooled([run.pk for run in runs], experiment.metric)
    if len(runs) < 2:
        return whole
    largest: dict[str, int] = {}
    for run in runs:
        for arm in reports.pooled([run.pk], experiment.metric):
            largest[arm.key] = max(largest.get(arm.key, 0), arm.people)
    return [
        statistics.Arm(arm.key, people, round(arm.did * people / arm.people)) if arm.people else arm
        for arm in whole
        for people in [min(arm.people, largest.get(arm.key, arm.people))]
    ]


def decide_due(now: datetime) -> int:
    """Look once at each run of the experiments that choose by themselves; return how many found their winner."""
    found = 0
    for experiment in Experiment.objects.filter(automatic=True, winner="").select_related("campaign"):
        due = now - timedelta(hours=experiment.decide_hours)
        runs = [run for run in runs_of(experiment) if run.created_at <= due]
        if not runs or (
            experiment.looked_until is not None and runs[0].created_at <= experiment.looked_until
        ):
            continue
        # the losing branch: another clock has looked at this run
        mine = Experiment.objects.filter(pk=experiment.pk, looks=experiment.looks, winner="")
        if not mine.update(looks=F("looks") + 1, looked_until=runs[0].created_at):
            continue
        with override("en"):  # `because` says it again to whoever looks
            decision = statistics.decide(pooled(experiment, runs), look=experiment.looks + 1)
        Experiment.objects.filter(pk=experiment.pk).update(because=decision.because[:300])
        if decision.winner:
            won = Experiment.objects.filter(pk=experiment.pk, winner="").update(
                winner=decision.winner, decided_at=now
            )
            if won:
                audit.note(audit.clock(), "choose_winner", experiment, says=decision.because)
            found += won
            log.info("experiment.decided", campaign=str(experiment.campaign.uid), winner=decision.winner)
    return found
