"""The main benchmark: our campaigns and the baseline's messages take turns."""

from pathlib import Path

from bench.course import Course, opened
from bench.courses.turns import turn
from bench.messages import write_plan
from bench.report import Report


def drive(course: Course) -> Report:
    """Run a course and return its report."""
    with opened(course) as (stand, people, *_):
        plan = write_plan(stand.warm_up(people), Path(course.out).parent)
        turns = [turn(stand, people, plan, number) for number in range(1, course.rounds + 1)]
    return Report(
        size=course.size,
        by_provider=people.counts,
        online=len(people.online),
        connect_seconds=stand.connect_seconds,
        turns=turns,
    )
