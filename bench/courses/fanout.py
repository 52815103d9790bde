"""The fan-out: our campaigns and the Go program's messages take turns; then the other senders have theirs."""

from pathlib import Path

from bench.course import Course, opened
from bench.courses import beside
from bench.courses.turns import ours, turn
from bench.messages import write_plan
from bench.report import Report


def drive(course: Course) -> Report:
    """Run a course and return its report."""
    with opened(course) as (stand, people, *_):
        plan = write_plan(stand.warm_up(people), Path(course.out).parent)
        ours(stand, people, "Round 0, not counted")  # Cassandra's compiler has seen everything then
        turns = [turn(stand, people, plan, number) for number in range(1, course.rounds + 1)]
        others = beside.send(stand, plan)
    return Report(
        size=course.size,
        by_provider=people.counts,
        online=len(people.online),
        connect_seconds=stand.connect_seconds,
        turns=turns,
        others=others,
    )
