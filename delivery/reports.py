"""Reports: how far a run's notifications got, by platform, language, hour and variant; and runs side by side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from django.db.models import Sum
from django.utils.translation import gettext as _

from delivery import experiments, runs, snapshot, spread, statistics, sums
from delivery.models import Page, Parcel, Run, Tally
from devices.models import Platform

DONE = ("acknowledged", "displayed", "opened", "dismissed", "converted")
"""Kinds of receipts that a report counts, in the order of the funnel (dismissed stands beside it)."""
HOURS = 48
"""Hours after the start that are shown one by one."""


class Reached(msgspec.Struct, frozen=True):
    """People who did something, each once, and devices that did."""

    people: int = 0
    devices: int = 0


class Stage(msgspec.Struct, frozen=True):
    """A stage of the funnel. `share` is of the people told, or for `accepted` of the messages; None of none.

    `people` is None where only messages are counted, `devices` where only people are.
    """

    name: str
    people: int | None
    devices: int | None
    share: float | None


class Line(msgspec.Struct, frozen=True):
    """One value of a dimension. `told` are people, `addressed` and `accepted` messages; None where it is not counted.

    What was done is in people, by name.
    """

    value: str
    label: str
    told: int | None
    addressed: int | None
    accepted: int | None
    acknowledged: int = 0
    displayed: int = 0
    opened: int = 0
    dismissed: int = 0
    converted: int = 0


class Hour(msgspec.Struct, frozen=True):
    """What people did in an hour; `at` is its beginning, ISO 8601 in UTC."""

    at: str
    acknowledged: int = 0
    displayed: int = 0
    opened: int = 0
    dismissed: int = 0
    converted: int = 0


class VariantLine(msgspec.Struct, frozen=True):
    """An arm of an experiment with the metric's share (95 % Wilson) and its difference to control (Newcombe).

    `difference` and `lift` are None without a control group, or where the metric says nothing of it.
    """

    key: str
    people: int
    did: int
    share: statistics.Interval
    difference: statistics.Interval | None
    lift: float | None


class Trial(msgspec.Struct, frozen=True):
    """What an experiment has shown so far; `winner` is empty without evidence, and `because` says why."""

    metric: str
    control_percent: float
    variants: list[VariantLine]
    control: VariantLine | None
    winner: str
    because: str


class Goal(msgspec.Struct, frozen=True):
    """What counts as converted."""

    event_type: str
    seconds: int


class Report(msgspec.Struct, frozen=True):
    """How far a run's notifications got."""

    id: str
    title: str
    state: str
    audience: int
    told: int
    messages: int
    funnel: list[Stage]
    dismissed: Reached
    platforms: list[Line]
    locales: list[Line]
    variants: list[Line]
    hours: list[Hour]
    experiment: Trial | None
    goal: Goal | None
    stopped: dict[str, int]
    reasons: dict[str, int]


Done = Mapping[str, Reached]


def of(run: Run) -> Report:
    """Return a run's report; the number of queries is the same for every run."""
    so_far = runs.progress(run)
    told = runs.told(run)
    outcomes = runs.by_platform(run, told)
    frozen = snapshot.from_json(run.snapshot)
    tallies = _tallies(run)
    done = _by(tallies, Tally.Dimension.PLATFORM, _told_whole).get("", {})
    messages = so_far.messages - so_far.outcomes.get("no_device", 0)
    by_variant = spread.by_variant(told.get(spread.LOCALE, {}))
    return Report(
        id=str(run.uid),
        title=run.title,
        state="recalled" if run.recalled_at else run.state,
        audience=so_far.audience,
        told=so_far.logged,
        messages=messages,
        funnel=funnel(
            so_far.logged, messages, so_far.outcomes.get("sent", 0), done, goal=frozen.goal is not None
        ),
        dismissed=done.get("dismissed", Reached()),
        platforms=_platforms(outcomes, _by(tallies, Tally.Dimension.PLATFORM, _told_value)),
        locales=_locales(
            spread.by_value(told.get(spread.LOCALE, {})), _by(tallies, Tally.Dimension.LOCALE, _told_value)
        ),
        variants=_variants(frozen, by_variant, tallies),
        hours=_hours(_by(tallies, Tally.Dimension.HOUR, _told_value)),
        experiment=trial(
            frozen.experiment, by_variant, so_far.stopped.get("control_group", 0), _did(tallies, frozen)
        ),
        goal=Goal(frozen.goal.event_type, frozen.goal.seconds) if frozen.goal else None,
        stopped=so_far.stopped,
        reasons=so_far.reasons,
    )


def funnel(told: int, messages: int, accepted: int, done: Done, *, goal: bool) -> list[Stage]:
    """Return the stages: told, accepted, delivered, displayed, opened and, with a goal, converted."""
    stages = [
        Stage("told", told, messages, 1.0 if told else None),
        Stage("accepted", None, accepted, accepted / messages if messages else None),
    ]
    for name, kind in (("delivered", "acknowledged"), ("displayed", "displayed"), ("opened", "opened")):
        count = done.get(kind, Reached())
        stages.append(Stage(name, count.people, count.devices, count.people / told if told else None))
    if goal:
        people = done.get("converted", Reached()).people
        stages.append(Stage("converted", people, None, people / told if told else None))
    return stages


def trial(
    experiment: snapshot.Experiment | None, told: Mapping[str, int], control: int, did: Mapping[str, int]
) -> Trial | None:
    """Return what an experiment has shown so far.

    `told` and `did` are people by arm; `control` is how many were left untold. Nobody of a control group opens
    anything, so it is compared by conversions alone.
    """
    if experiment is None:
        return None
    arms = [
        statistics.Arm(one.key, told.get(one.key, 0), min(did.get(one.key, 0), told.get(one.key, 0)))
        for one in experiment.variants
    ]
    untold = None
    if experiment.control and experiment.metric == "converted":
        untold = statistics.Arm(experiments.CONTROL, control, min(did.get(experiments.CONTROL, 0), control))
    decision = statistics.decide(arms)
    if experiment.winner:
        decision = statistics.Decision(
            experiment.winner, _("%(winner)s was chosen before this run.") % {"winner": experiment.winner}
        )
    return Trial(
        metric=experiment.metric,
        control_percent=experiment.control / 100,
        variants=[_arm(arm, untold) for arm in arms],
        control=_arm(untold, None) if untold is not None else None,
        winner=decision.winner,
        because=decision.because,
    )


def _arm(arm: statistics.Arm, control: statistics.Arm | None) -> VariantLine:
    return VariantLine(
        arm.key,
        arm.people,
        arm.did,
        statistics.share(arm),
        statistics.difference(arm, control) if control is not None else None,
        statistics.lift(arm, control) if control is not None else None,
    )


def pooled(chosen: Sequence[int], metric: str) -> list[statistics.Arm]:
    """Return the variants of some runs (primary keys) with the people that all of them told and who did the metric."""
    told = spread.by_variant(sums.of_two(Page, "spread", chosen).get(spread.LOCALE, {}))
    rows = Tally.objects.filter(run__in=chosen, kind=metric, dimension=Tally.Dimension.PLATFORM)
    did = dict(rows.order_by().values_list("variant").annotate(Sum("people")))
    return [
        statistics.Arm(key, people, min(did.get(key) or 0, people)) for key, people in told.items() if key
    ]


# -- from the tallies

Row = tuple[str, str, str, str, int, int]
"""Kind, variant, dimension, value, people, devices."""
Key = Callable[[str, str], str | None]


def _tallies(run: Run) -> list[Row]:
    names = ("kind", "variant", "dimension", "value", "people", "devices")
    return list(Tally.objects.filter(run=run).order_by("kind", "value").values_list(*names))


def _told_value(variant: str, value: str) -> str | None:
    """Return the value itself, None for what a control group did: it was told nothing."""
    return None if variant == experiments.CONTROL else value


def _told_whole(variant: str, value: str) -> str | None:
    """Return one name for all, None for what a control group did."""
    return None if variant == experiments.CONTROL else ""


def _by(tallies: Iterable[Row], dimension: str, key: Key) -> dict[str, dict[str, Reached]]:
    """Return what was done by what `key` makes of variant and value (None: left out), then by kind."""
    found: dict[str, dict[str, Reached]] = {}
    for kind, variant, of_dimension, value, people, devices in tallies:
        if of_dimension != dimension:
            continue
        name = key(variant, value)
        if name is None:
            continue
        counts = found.setdefault(name, {})
        before = counts.get(kind, Reached())
        counts[kind] = Reached(before.people + people, before.devices + devices)
    return found


def _people(done: Mapping[str, Reached]) -> dict[str, int]:
    return {kind: done[kind].people for kind in DONE if kind in done}


def _platforms(outcomes: Mapping[str, Mapping[str, int]], done: Mapping[str, Done]) -> list[Line]:
    return [
        Line(
            name,
            platform_label(name),
            None,
            outcomes.get(name, {}).get("addressed", 0),
            outcomes.get(name, {}).get("sent", 0),
            **_people(done.get(name, {})),
        )
        for name in sorted({*outcomes, *done}, key=lambda name: (name not in Platform.values, name))
    ]


def platform_label(name: str) -> str:
    """Return a platform's name for people; what a person did elsewhere, or a device that is gone, has none."""
    return str(Platform(name).label) if name in Platform.values else "—"


def _locales(told: Mapping[str, int], done: Mapping[str, Done]) -> list[Line]:
    return [
        Line(name, name or "—", told.get(name, 0), None, None, **_people(done.get(name, {})))
        for name in sorted({*told, *done}, key=lambda name: (-told.get(name, 0), name))
    ]


def _variants(frozen: snapshot.Snapshot, told: Mapping[str, int], tallies: list[Row]) -> list[Line]:
    if frozen.experiment is None:
        return []
    done = _by(tallies, Tally.Dimension.PLATFORM, lambda variant, value: variant)
    return [
        Line(one.key, one.key, told.get(one.key, 0), None, None, **_people(done.get(one.key, {})))
        for one in frozen.experiment.variants
    ]


def _did(tallies: list[Row], frozen: snapshot.Snapshot) -> dict[str, int]:
    """Return the people of each arm who did what the experiment measures."""
    if frozen.experiment is None:
        return {}
    done = _by(tallies, Tally.Dimension.PLATFORM, lambda variant, value: variant)
    return {
        arm: counts[frozen.experiment.metric].people
        for arm, counts in done.items()
        if frozen.experiment.metric in counts
    }


def _hours(done: Mapping[str, Done]) -> list[Hour]:
    """Return the hours from the first to the last in which somebody did something, at most `HOURS`."""
    known = sorted(int(hour) for hour in done if hour.isdigit())
    if not known:
        return []
    return [
        Hour(
            datetime.fromtimestamp(hour * 3600, UTC).isoformat(timespec="minutes"),
            **_people(done.get(str(hour), {})),
        )
        for hour in range(known[0], min(known[-1], known[0] + HOURS - 1) + 1)
    ]


# -- side by side


class Compared(msgspec.Struct, frozen=True):
    """A run beside others."""

    run: Run
    told: int
    messages: int
    accepted: int
    delivered: int
    displayed: int
    opened: int
    converted: int

    def share(self, name: str) -> float | None:
        """Return a share of the people told, for `accepted` of the messages; None of none."""
        whole = self.messages if name == "accepted" else self.told
        return getattr(self, name) / whole if whole else None


def compare(chosen: Sequence[Run]) -> list[Compared]:
    """Return runs side by side, in three queries however many they are."""
    keys = [run.pk for run in chosen]
    pages = {
        key: (logged or 0, (messages or 0) - (without or 0))
        for key, logged, messages, without in Page.objects.filter(run__in=keys)
        .order_by()
        .values_list("run")
        .annotate(Sum("logged"), Sum("messages"), Sum("no_device"))
    }
    sent = dict(Parcel.objects.filter(run__in=keys).order_by().values_list("run").annotate(Sum("sent")))
    rows = (
        Tally.objects.filter(run__in=keys, dimension=Tally.Dimension.PLATFORM)
        .exclude(variant=experiments.CONTROL)
        .order_by()
        .values_list("run", "kind")
        .annotate(Sum("people"))
    )
    done = {(run, kind): people for run, kind, people in rows}
    return [
        Compared(
            run,
            *pages.get(run.pk, (0, 0)),
            sent.get(run.pk) or 0,
            *(done.get((run.pk, kind), 0) for kind in ("acknowledged", "displayed", "opened", "converted")),
        )
        for run in chosen
    ]


# -- as a table for spreadsheets

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula (OWASP, CSV injection)."""


def safe(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(DANGEROUS):
        return f"'{value}"
    return value


def rows(report: Report) -> list[list[object]]:
    """Return a report as the rows of a table, the first with the columns' names."""
    found: list[list[object]] = [
        ["run", "title", "dimension", "value", "told", "messages", "accepted", *DONE],
    ]
    head: list[object] = [report.id, report.title]
    done = {stage.name: stage.people or 0 for stage in report.funnel}
    found.append(
        [
            *head,
            "all",
            "",
            report.told,
            report.messages,
            next(stage.devices for stage in report.funnel if stage.name == "accepted"),
            done["delivered"],
            done["displayed"],
            done["opened"],
            report.dismissed.people,
            done.get("converted", 0),
        ]
    )
    for dimension, lines in (
        ("platform", report.platforms),
        ("language", report.locales),
        ("variant", report.variants),
    ):
        found += [
            [*head, dimension, line.value, line.told, line.addressed, line.accepted]
            + [getattr(line, kind) for kind in DONE]
            for line in lines
        ]
    found += [
        [*head, "hour", hour.at, None, None, None, *(getattr(hour, kind) for kind in DONE)]
        for hour in report.hours
    ]
    return [[safe(value) for value in row] for row in found]
