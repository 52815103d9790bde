"""A round: a campaign to everybody by us, then the same messages by the baseline."""

from pathlib import Path
from typing import Any

import msgspec

from bench import baseline
from bench.course import tell
from bench.population import Population
from bench.report import Ours, Turn
from bench.stand import Stand
from delivery import runs
from delivery.models import Run


def turn(stand: Stand, people: Population, plan: Path, number: int) -> Turn:
    """Run one round and return what was measured; the first is profiled when the course has a folder for it."""
    course = stand.course
    mine, _ = ours(stand, people, f"Round {number}", profiled=number == 1)
    sent = baseline.run(Path(course.program), plan, course.settings)
    baseline_run = msgspec.json.decode(plan.read_bytes())["baseline_run"]
    tell(
        f"{course.size}, the baseline: {sent.sent / sent.seconds:,.0f} messages/s, "
        f"{sent.cpu_seconds / max(sent.sent, 1) * 1e6:.0f} ms CPU per 1,000"
    )
    return Turn(
        **msgspec.structs.asdict(mine),
        baseline_delivered=stand.fleet.arrived(run=baseline_run)["total"]["distinct_messages"],
        baseline=sent,
    )


def ours(stand: Stand, people: Population, name: str, *, profiled: bool = False) -> tuple[Ours, Run]:
    """Run a campaign to everybody, as the only one that the fleet remembers; return what was measured."""
    fleet = stand.fleet
    fleet.reset()
    with stand.profiled(name, wanted=profiled):
        measured = stand.campaign(people, name, expected=people.reachable)
    counts = fleet.arrived(run=str(measured.run.uid))
    progress = runs.progress(measured.run)
    made = Ours(
        devices=people.devices,
        expected=people.reachable,
        delivered=counts["total"]["distinct_messages"],
        outcomes=progress.outcomes,
        repeats=counts["total"]["repeats"],
        seconds=round((counts["total"]["last_at"] or 0) / 1000 - measured.launched_at, 3),
        first_phone=round(first_phone(counts) - measured.launched_at, 3),
        all_seconds=round(measured.completed_at - measured.launched_at, 3),
        cpu=dict(measured.used.ours),
        server_cpu=dict(measured.used.servers),
        fleet_cpu=measured.used.fleet,
        elsewhere=measured.used.elsewhere,
        faults=[*stand.faults(measured.run), *held_back(progress)],
    )
    tell(
        f"{stand.course.size}, {name}, {people.devices:,} devices: {made.rate:,.0f}/s, first phone after "
        f"{made.first_phone:.2f} s; CPU per 1,000: {made.cpu_ms:.0f} ms ({by_part(made.cpu, people.devices)}), "
        f"servers {made.server_cpu_ms:.0f} ms ({by_part(made.server_cpu, people.devices)}); others had "
        f"{made.elsewhere:.0%} of the machine"
    )
    return made, measured.run


def first_phone(counts: dict[str, Any]) -> float:
    """Return when the first message arrived over FCM or APNs (epoch seconds), 0 when none did."""
    firsts = [counts[provider]["first_at"] for provider in ("fcm", "apns")]
    return min((first for first in firsts if first is not None), default=0) / 1000


def held_back(progress: runs.Progress) -> list[str]:
    """Return whom policy stopped or put off, in a sentence: the policies of benchmarks let everybody through."""
    faults = []
    if progress.stopped:
        faults.append(f"policy stopped people, and was to let all through: {progress.stopped}")
    if progress.deferred:
        faults.append(f"policy put {progress.deferred:,} people off, and was to let all through")
    return faults


def by_part(seconds: dict[str, float], devices: int) -> str:
    """Return CPU milliseconds per 1,000 devices by part, the dearest first."""
    dear = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{part} {used / devices * 1e6:.0f}" for part, used in dear)
