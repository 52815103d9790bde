"""What a campaign to very many costs over one to few: CPU, memory, and what the servers are asked for a page."""

from collections.abc import Sequence
from typing import Any

from bench import command, memory, result
from bench.report import Counted, Growth, Memory

ASKED = ("postgres.statements", "redis.round_trips", "cassandra.requests", "rabbitmq.published")
MILLION = 1_000_000


def ratios_of(report: Growth) -> dict[str, float]:
    """Return the ratios; `growth_asked` is that of the server that grew most, `growth_memory` of the process.

    What is asked is compared for as many devices: the last page of a shard is not full, and few people have more such.
    """
    few, many = report.small, report.large
    ratios = {
        "growth_cpu": many.cpu_ms / result.middle(turn.cpu_ms for turn in few),
        "seconds_for_a_million": many.seconds / many.devices * MILLION,
        "seconds_to_first_phone": many.first_phone,
    }
    asked = [
        per_device(many, name) / before
        for name in ASKED
        if (before := result.middle(per_device(turn, name) for turn in few))
    ]
    if asked:
        ratios["growth_asked"] = max(asked)
    if grown := memory.growth(many.memory):
        ratios["growth_memory"] = max(grown.values())
    return ratios


def per_page(turn: Counted, name: str) -> float:
    """Return how often a server was asked, for each page."""
    return turn.asked.get(name, 0) / max(turn.pages, 1)


def per_device(turn: Counted, name: str) -> float:
    """Return how often a server was asked, for each device."""
    return turn.asked.get(name, 0) / turn.devices


def figures_of(turns: Sequence[Counted]) -> dict[str, Any]:
    """Return the figures of campaigns: medians."""
    names = sorted({name for turn in turns for name in turn.asked})
    last = turns[-1]
    return {
        **command.figures_of(turns),
        "pages": last.pages,
        "parcels": last.parcels,
        "asked_per_page": {name: result.middle(per_page(turn, name) for turn in turns) for name in names},
        "statements_per_page": {
            " ".join(text.split())[:120]: result.middle([calls / last.pages])
            for text, calls in last.statements.items()
        },
    }


def resident(seen: Sequence[Memory]) -> dict[str, Any]:
    """Return megabytes by process: when 100,000 messages had arrived, at the end, and the most from then on."""
    late = [each for each in seen if each.arrived >= memory.SETTLED] or list(seen[-1:])
    if not late:
        return {}
    return {
        part: {
            "at_100000": round(size / 2**20, 1),
            "most_after": round(max(each.resident.get(part, 0) for each in late) / 2**20, 1),
            "at_end": round(late[-1].resident.get(part, 0) / 2**20, 1),
        }
        for part, size in late[0].resident.items()
    }
