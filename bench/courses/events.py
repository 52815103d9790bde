"""Events: a fan-out to compare with, events that no rule wants (the intake alone), events that reach everybody."""

import itertools
import time
from uuid import uuid4

from bench import counters, feed
from bench.course import Course, opened, tell
from bench.courses.ruled import Ruled
from bench.courses.turns import by_part, ours
from bench.population import Population
from bench.report import EventsReport, EventsTurn, Flow
from bench.stand import Stand, Used
from devices.models import Subscriber

SENDERS = 4
"""Connections of the service that sends."""
WARM = 200


def drive(course: Course) -> EventsReport:
    """Run a course and return its report."""
    with opened(course) as (stand, people, *_), counters.Counters(course.broker) as counts:
        stand.warm_up(people)
        ours(stand, people, "Fan-out 0, not counted")  # Cassandra's compiler has seen it all then
        unwanted = Ruled(people, lane="normal", name="unwanted", ruled=False)
        wanted = Ruled(people, lane="normal", name="order")
        subjects = list(
            Subscriber.objects.filter(application=people.application)
            .order_by("pk")
            .values_list("external_id", flat=True)
        )
        for ruled in (unwanted, wanted):
            _pour(ruled, subjects[:WARM], course.batch)
            ruled.settle()
        turns = []
        for number in range(1, course.rounds + 1):
            fanout, _ = ours(stand, people, f"Fan-out {number}")
            intake = _flow(stand, people, counts, unwanted, subjects, f"Intake {number}", reaches=False)
            events = _flow(stand, people, counts, wanted, subjects, f"Events {number}", profiled=number == 1)
            turns.append(EventsTurn(fanout, intake, events))
    return EventsReport(
        by_provider=people.counts,
        online=len(people.online),
        connect_seconds=stand.connect_seconds,
        turns=turns,
    )


def _flow(
    stand: Stand,
    people: Population,
    counts: counters.Counters,
    ruled: Ruled,
    subjects: list[str],
    name: str,
    *,
    reaches: bool = True,
    profiled: bool = False,
) -> Flow:
    """Send an event about everybody and wait until all is done; `reaches`: a rule wants them."""
    fleet = stand.fleet
    fleet.reset()
    expected = people.reachable if reaches else 0
    rows, before = counts.read(), ruled.outcomes()
    used: Used
    with stand.profiled(name, wanted=profiled), stand.metered() as used:
        began = time.time()
        accept_seconds = _pour(ruled, subjects, stand.course.batch)
        stand.arrive(None, expected)
        ruled.settle()
        done = time.time()
    time.sleep(counters.SETTLE)
    asked = counters.between(rows, counts.read())
    total = fleet.arrived()["total"]
    outcomes = {
        outcome: count - before.get(outcome, 0)
        for outcome, count in ruled.outcomes().items()
        if count != before.get(outcome, 0)
    }
    last = (total["last_at"] or 0) / 1000 if reaches else done
    flow = Flow(
        events=len(subjects),
        expected=expected,
        delivered=total["distinct_messages"],
        outcomes=outcomes,
        repeats=total["repeats"],
        accept_seconds=round(accept_seconds, 3),
        seconds=round(last - began, 3),
        cpu=dict(used.ours),
        server_cpu=dict(used.servers),
        asked=asked,
        faults=[
            *(fault for run in ruled.runs() for fault in stand.faults(run)),
            *(
                f"policy {each} {outcomes[each]:,} people"
                for each in ("stopped", "deferred")
                if each in outcomes
            ),
        ],
    )
    tell(
        f"{name}, {flow.events:,} events: {flow.events / flow.seconds:,.0f}/s, accepted "
        f"{flow.events / flow.accept_seconds:,.0f}/s; CPU per 1,000: {flow.cpu_ms:.0f} ms "
        f"({by_part(flow.cpu, flow.events)}), servers {flow.server_cpu_ms:.0f} ms "
        f"({by_part(flow.server_cpu, flow.events)})"
    )
    return flow


def _pour(ruled: Ruled, subjects: list[str], batch: int) -> float:
    """Send an event about each subject; return how long it took until all were accepted."""
    series = str(uuid4())
    documents = [
        feed.event(number, kind=ruled.kind, subject=subject, series=series, data=ruled.data(number))
        for number, subject in zip(itertools.count(1), subjects, strict=False)
    ]
    return ruled.service(SENDERS).pour(documents, batch=batch)
