"""The growth: campaigns to few, then one to very many, in one database; servers count, memory is watched."""

import time

import msgspec

from bench import counters, growing
from bench.course import Course, opened, tell
from bench.courses.turns import ours
from bench.memory import Watch
from bench.population import Population
from bench.report import Counted, Growth
from bench.stand import Stand
from delivery.models import Page, Parcel

STATEMENTS = 15
"""So many of the statements that were executed most are reported."""


def drive(course: Course) -> Growth:
    """Run a course and return its report: half of the small campaigns come after the large one."""
    with (
        opened(course) as (stand, large, small, populate_seconds),
        counters.Counters(course.broker) as counts,
    ):
        assert small is not None
        stand.warm_up(small)
        stand.warm_up(large)
        before = (course.rounds + 1) // 2
        few = [_counted(stand, small, counts, f"Few {number}") for number in range(1, before + 1)]
        many = _counted(stand, large, counts, "Many", profiled=True)
        few += [
            _counted(stand, small, counts, f"Few {number}") for number in range(before + 1, course.rounds + 1)
        ]
    return Growth(
        online=len(large.online),
        small_online=len(small.online),
        connect_seconds=stand.connect_seconds,
        populate_seconds=populate_seconds,
        small=few,
        large=many,
    )


def _counted(
    stand: Stand, people: Population, counts: counters.Counters, name: str, *, profiled: bool = False
) -> Counted:
    before, statements = counts.read(), counts.statements()
    with Watch(stand.supervisor, lambda: stand.fleet.arrived()["total"]["distinct_messages"]) as watch:
        made, run = ours(stand, people, name, profiled=profiled)
    # PostgreSQL's processes hand in their counts of rows when they have been idle for a moment
    time.sleep(1)
    asked = counters.between(before, counts.read())
    often = counters.between(statements, counts.statements())
    pages = Page.objects.filter(run=run).count()
    tell(
        f"{name}: {pages} pages; a page: "
        + ", ".join(f"{asked.get(each, 0) / pages:.1f} {each}" for each in growing.ASKED)
    )
    return Counted(
        **msgspec.structs.asdict(made),
        pages=pages,
        parcels=Parcel.objects.filter(run=run).count(),
        asked=asked,
        statements=dict(sorted(often.items(), key=lambda item: -item[1])[:STATEMENTS]),
        memory=watch.seen,
    )
