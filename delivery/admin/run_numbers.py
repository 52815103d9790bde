"""What a run's page shows of its progress: sums, sentences, pictures, and which buttons make sense now."""

import time
from collections.abc import Container
from typing import Any

from django.db.models import Count, QuerySet
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from redis.exceptions import RedisError

from delivery import ages, charts, reasons, runs, spread
from delivery.models import Gate, Hold, Page, Parcel, Run, WorkState
from devices.models import Platform, Provider
from devices.words import number, within

OUTCOME_WORDS = {
    "sent": _("Sent: the provider took them, or a WebSocket did"),
    "stored": _("Stored: they wait in the log for a WebSocket or a pull"),
    "expired": _("Expired: past their time"),
    "cancelled": _("Cancelled"),
    "failed": _("Failed"),
    "no_device": _("No device: a person without one for this run"),
}
SHORT_WORDS = {
    "sent": _("sent"),
    "stored": _("stored"),
    "expired": _("expired"),
    "cancelled": _("cancelled"),
    "failed": _("failed"),
    "no_device": _("no device"),
    "waiting": _("waiting"),
}
COLOURS = {
    "sent": charts.BLUE,
    "stored": charts.GREEN,
    "expired": charts.PURPLE,
    "cancelled": charts.GREY,
    "failed": charts.RED,
    "no_device": charts.ORANGE,
    "waiting": "#c8ccd2",
}
GOING = (Run.State.PLANNED, Run.State.RUNNING, Run.State.PAUSED)
BUTTONS = {
    "pause": (_("Pause"), False),
    "resume": (_("Resume"), False),
    "retire_and_resume": (_("Retire the devices and resume"), True),
    "cancel": (_("Cancel"), True),
    "recall": (_("Recall"), True),
}
"""What may be done to a run: its word, and whether it is for good."""


def offers(action: str, run: Run) -> bool:
    """Return whether a button makes sense in the run's present state."""
    if action == "recall":
        return run.recalled_at is None
    if action == "retire_and_resume":
        return run.state == Run.State.PAUSED and run.brake == Run.Brake.TRIPPED
    return run.state in runs.TRANSITIONS[action][0]


def numbers(run: Run, *, may_press: Container[str]) -> dict[str, Any]:
    """Return what the run's page shows of its progress, as the template's context."""
    progress = runs.progress(run)
    pace = runs.pace(run, progress)
    gates = Gate.objects.filter(Gate.holding(), application_id=run.application_id)
    ended = {**progress.outcomes, "waiting": progress.waiting}
    told = runs.told(run)
    return {
        "run": run,
        "progress": progress,
        "stopped": sum(progress.stopped.values()),
        "stopped_by": [
            (count, reasons.stopped_sentence(reason)) for reason, count in progress.stopped.items()
        ],
        "outcomes": [(count, OUTCOME_WORDS[name]) for name, count in progress.outcomes.items()],
        "reasons": [(count, reasons.outcome_sentence(reason)) for reason, count in progress.reasons.items()],
        "settled": sum(progress.outcomes.values()),
        "bar": bar(ended),
        "bar_parts": [(SHORT_WORDS[name], count, COLOURS[name]) for name, count in ended.items() if count],
        "done_percent": done_percent(progress, pace),
        "providers": [
            (
                Provider(name).label,
                ", ".join(f"{number(count)} {SHORT_WORDS[word]}" for word, count in counts.items()),
            )
            for name, counts in runs.by_provider(run).items()
        ],
        "platforms": platforms(run, told),
        "languages": list(spread.by_value(told.get(spread.LOCALE, {})).items()),
        "pace": pace,
        "left": duration(pace.seconds_left),
        "percent": pace.planned * 100,
        "age": lane_age(run),
        "holds": list(holds_of(run)) if run.state in runs.TRANSITIONS["pause"][0] else [],
        "pages": _by_state(Page, run),
        "parcels": _by_state(Parcel, run),
        "gates": list(gates) if run.state in GOING else [],
        "going": is_going(run, progress),
        "buttons": [(name, *BUTTONS[name]) for name in BUTTONS if name in may_press and offers(name, run)],
    }


def is_going(run: Run, progress: runs.Progress) -> bool:
    """Return whether the numbers may still change."""
    return run.state in GOING or not progress.complete


def bar(ended: dict[str, int]) -> Any:
    """Return the picture of what the messages have come to so far."""
    said = ", ".join(f"{number(count)} {SHORT_WORDS[name]}" for name, count in ended.items() if count)
    return charts.stacked(
        [(f"{number(count)} {SHORT_WORDS[name]}", count, COLOURS[name]) for name, count in ended.items()],
        says=said or gettext("No messages yet"),
    )


def done_percent(progress: runs.Progress, pace: runs.Pace) -> float:
    """Return how much of the run is done, in per cent: planned, not put off, and of what is planned, settled."""
    if progress.complete:
        return 100.0
    settled = 1 - progress.waiting / progress.messages if progress.messages else 0.0
    told = progress.audience / (progress.audience + progress.deferred) if progress.deferred else 1.0
    return min(99.9, 100 * pace.planned * told * settled)


def platforms(run: Run, told: spread.Spread) -> list[dict[str, Any]]:
    """Return, platform by platform, the messages and what became of them as far as it is counted."""
    found = []
    for name, counts in runs.by_platform(run, told).items():
        ended = sum(count for word, count in counts.items() if word != "addressed")
        label = Platform(name).label if name in Platform.values else name or gettext("unknown")
        rest = {"open": max(0, counts["addressed"] - ended), "name": label}
        found.append({**dict.fromkeys(runs.OUTCOMES, 0), **counts, **rest})
    return found


def lane_age(run: Run) -> dict[str, Any] | None:
    """Return how old the lane's messages were in the last hour, None while there were none or Redis is away."""
    try:
        histogram = ages.lately([run.application_id], now=time.time(), hours=1)[run.lane]
    except RedisError:
        return None
    if not histogram.count:
        return None
    return {
        "share": 100 * (histogram.share or 0.0),
        "median": histogram.median(),
        "objective": ages.objective(run.lane),
    }


def holds_of(run: Run) -> QuerySet[Hold]:
    """Return the stops that a run is under."""
    return Hold.objects.filter(application=run.application_id, lane__in=["", run.lane])


def duration(seconds: float | None) -> str:
    """Return a time as people say it; empty when there is none to say."""
    if not seconds:
        return ""
    if seconds < 90:
        return gettext("%(seconds)s s") % {"seconds": f"{seconds:.0f}"}
    return (
        gettext("%(minutes)s min") % {"minutes": f"{seconds / 60:.0f}"}
        if seconds < 5400
        else gettext("%(hours)s h") % {"hours": number_format(seconds / 3600, 1)}
    )


def _by_state(model: type[Page] | type[Parcel], run: Run) -> str:
    counts = dict(model.objects.filter(run=run).values_list("state").annotate(Count("pk")).order_by("state"))
    return ", ".join(
        f"{number(counts[state])} {within(state.label)}" for state in WorkState if state in counts
    ) or gettext("none yet")
