"""What happens in which order: runs that are launched, and the faults between them, drawn from a seed."""

import random
from dataclasses import dataclass

LANES = ("critical", "high", "normal", "normal", "normal", "bulk")
FAULTS = {
    "kill_node": 4,
    "stop_clients": 3,
    "half_open": 3,
    "redis_restarted": 2,
    "redis_emptied": 1,
    "stream_full": 2,
    "receivers_killed": 3,
    "never_reads": 2,
    "late_close": 3,
    "tunnel": 4,
    "slow_worker": 4,
}
"""How often each comes. Devices that never acknowledge, two tabs with one token and clocks apart are always there."""
LASTS = {"stop_clients": (4, 16), "half_open": (2, 20), "stream_full": (4, 10), "slow_worker": (6, 16)}
"""After how many launches such a fault ends."""
QUIET = 0.04
"""The share of the launches at the beginning and at the end without a fault."""


@dataclass(frozen=True)
class Launch:
    """A run in a lane: for everybody, or a share of the people."""

    lane: str
    share: float


@dataclass(frozen=True)
class Fault:
    """A fault by name, with a number between 0 and 1 that says whom it strikes; `ends`: what lasted is over."""

    name: str
    whom: float
    ends: bool = False


Step = Launch | Fault


def draw(seed: int, *, rounds: float) -> list[Step]:
    """Return the plan of a seed, with launches to so many times everybody."""
    chance = random.Random(seed)
    launches: list[Launch] = []
    while sum(launch.share for launch in launches) < rounds:
        share = 1.0 if chance.random() < 0.7 else chance.uniform(0.1, 0.9)
        launches.append(Launch(chance.choice(LANES), share))
    after: dict[int, list[Fault]] = {}
    first, last = int(len(launches) * QUIET), int(len(launches) * (1 - QUIET))
    for name, times in FAULTS.items():
        for _ in range(times):
            at, whom = chance.randrange(first, last), chance.random()
            after.setdefault(at, []).append(Fault(name, whom))
            if name in LASTS:
                end = min(at + chance.randint(*LASTS[name]), last)
                after.setdefault(end, []).append(Fault(name, whom, ends=True))
    return [step for at, launch in enumerate(launches) for step in [launch, *after.get(at, ())]]
