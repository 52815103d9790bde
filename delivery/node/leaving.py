"""How the devices of a node that is to end move to other nodes: a share at a time."""

import asyncio
import math
import time

import structlog

from delivery.node.lines import Lines

log = structlog.get_logger(__name__)

TURN = 0.25
"""Seconds between two shares."""
CLOSING_SECONDS = 10.0
"""How long the last ones asked have to move before the node ends all the same."""


async def leave(lines: Lines, *, seconds: float, node: str) -> None:
    """Ask every line to move, spread over some seconds; return when all are gone, or had the time to."""
    log.info("node.leaves", node=node, lines=len(lines.open), seconds=seconds)
    waiting = list(lines.open)
    share = math.ceil(len(waiting) * TURN / max(seconds, TURN))
    for start in range(0, len(waiting), share):
        for line in waiting[start : start + share]:
            if line in lines.open:
                line.move(within=TURN)
        await asyncio.sleep(TURN)
    until = time.monotonic() + CLOSING_SECONDS
    while lines.open and time.monotonic() < until:
        await asyncio.sleep(TURN)
    log.info("node.left", node=node, lines=len(lines.open))
