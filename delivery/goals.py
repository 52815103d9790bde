"""Goals: events that runs are meant to bring about, and whom they are put down to.

An event converts a person for each run whose goal is of its type and that told them something within the goal's time
before it: the last thing that this run told them. Somebody of a control group, who was told nothing, converts from the
moment at which they would have been told.
"""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from delivery import heard, positions
from delivery.log.store import ReceiptRow, log_store
from delivery.models import Goal, Run, Stopped
from delivery.snapshot import Snapshot
from devices.models import Subscriber
from devices.statements import among, among_texts, fetch

CONVERTED = "converted"


def set_of(run: Run, snapshot: Snapshot) -> None:
    """Note what a new run is meant to bring about, if its campaign says so."""
    if snapshot.goal is None:
        return
    end = run.expires_at or run.created_at
    Goal.objects.create(
        run=run,
        application_id=run.application_id,
        event_type=snapshot.goal.event_type,
        seconds=snapshot.goal.seconds,
        until=end.timestamp() + snapshot.goal.seconds,
    )


def note(events: Sequence[heard.Met]) -> None:
    """Keep those of some events that are somebody's goal, inside the caller's transaction: one query for all."""
    if not events:
        return
    theirs, keys = among("application_id", list({one.application for one in events}))
    typed, texts = among_texts("event_type", list({one.event_type for one in events}))
    known = set(
        fetch(
            f"SELECT DISTINCT application_id, event_type FROM delivery_goal WHERE {theirs} AND {typed} AND until > %s",
            [*keys, *texts, min(one.at for one in events)],
        )
    )
    heard.note_events([one for one in events if (one.application, one.event_type) in known])


def conversions(events: Sequence[heard.Met]) -> list[tuple[ReceiptRow, UUID]]:
    """Return what events come to: the receipts to write, each with its run."""
    people = _people(events)
    goals = _goals(events)
    met = [
        (one, subscriber)
        for one in events
        if (subscriber := people.get((one.application, one.external_id))) is not None
        and (one.application, one.event_type) in goals
    ]
    if not met:
        return []
    longest = max(goal.seconds for some in goals.values() for goal in some)
    first = min(one.at for one, _ in met) - longest
    told = _told([uid for _, (uid, _) in met], first)
    for run, uid, notification, stamp in _control(met, goals):
        told[(uid, run)].append((stamp, notification))
    found = []
    for one, (uid, _) in met:
        for goal in goals[(one.application, one.event_type)]:
            before = [
                (stamp, notification)
                for stamp, notification in told.get((uid, goal.run.uid), ())
                if stamp <= one.at <= stamp + goal.seconds
            ]
            if before:
                row = ReceiptRow(uid, max(before)[1], heard.NOBODY, CONVERTED, one.at)
                found.append((row, goal.run.uid))
    return found


def _people(events: Sequence[heard.Met]) -> dict[tuple[int, str], tuple[UUID, int]]:
    rows = Subscriber.objects.filter(
        application__in={one.application for one in events},
        external_id__in={one.external_id for one in events},
    )
    return {
        (application, name): (uid, key)
        for application, name, uid, key in rows.values_list("application_id", "external_id", "uid", "pk")
    }


def _goals(events: Sequence[heard.Met]) -> dict[tuple[int, str], list[Goal]]:
    rows = Goal.objects.filter(
        application_id__in={one.application for one in events},
        event_type__in={one.event_type for one in events},
        until__gt=min((one.at for one in events), default=0.0),
    )
    found: dict[tuple[int, str], list[Goal]] = defaultdict(list)
    for goal in rows.select_related("run").only(
        "application_id", "event_type", "seconds", "until", "run__uid"
    ):
        found[(goal.application_id, goal.event_type)].append(goal)
    return found


def _told(subscribers: list[UUID], first: float) -> dict[tuple[UUID, UUID], list[tuple[float, UUID]]]:
    """Return when people were told what, by (subscriber, run), since an instant."""
    told: dict[tuple[UUID, UUID], list[tuple[float, UUID]]] = defaultdict(list)
    after = positions.floor(first)
    for uid, notification, run, place in log_store().since(list(dict.fromkeys(subscribers)), after):
        told[(uid, run)].append((positions.stamp_of(place), notification))
    return told


def _control(
    met: list[tuple[heard.Met, tuple[UUID, int]]], goals: dict[tuple[int, str], list[Goal]]
) -> list[tuple[UUID, UUID, UUID, float]]:
    """Return (run, subscriber, the notification that they were not told, when) of those in control groups."""
    runs = {goal.run_id: goal.run.uid for some in goals.values() for goal in some}
    keys = {key: uid for _, (uid, key) in met}
    rows = Stopped.objects.filter(run__in=runs, subscriber_id__in=keys, reason="control_group")
    return [
        (runs[run], keys[key], positions.notification_id(runs[run], keys[key], occurrence), stamp or 0.0)
        for run, key, occurrence, stamp in rows.values_list(
            "run_id", "subscriber_id", "occurrence", "page__stamp"
        )
    ]
