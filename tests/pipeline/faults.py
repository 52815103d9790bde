"""The dramas of faults, by name: each on a hub that works without faults at its beginning and end.

A drama returns a report: both balances, what phones show, how often a provider was called again, and
how long work lay about.
"""

import time
from collections.abc import Callable
from typing import Any

from tests.pipeline.crew import Crew
from tests.pipeline.dramas import Theatre
from tests.pipeline.faults_of_processes import kills, rolling_restart, same_bell_twice, three_clocks
from tests.pipeline.faults_of_servers import broker_away, database_away, log_node_killed, memory_lost
from tests.pipeline.population import grow

DRAMAS: dict[str, Callable[[Theatre, Crew], dict[str, Any]]] = {
    play.__name__: play
    for play in (
        kills,
        rolling_restart,
        three_clocks,
        same_bell_twice,
        broker_away,
        memory_lost,
        database_away,
        log_node_killed,
    )
}


def play(name: str, scene: Theatre, crew: Crew, *, people: int) -> dict[str, Any]:
    """Play one drama before at least so many people."""
    grow(scene.set_up, scene.fleet, people=people)
    began = time.monotonic()
    try:
        report = DRAMAS[name](scene, crew)
    finally:
        scene.fleet.clear_faults()
    return {**report, "seconds": round(time.monotonic() - began, 1)}
