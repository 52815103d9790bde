"""The lanes and the names of their queues: one queue per lane and stage, so that none waits for another."""

CRITICAL = "critical"
LANES = (CRITICAL, "high", "normal", "bulk")
URGENT = LANES[:2]
REST = LANES[2:]
STAGES = ("decide", "plan", "fcm", "apns", "webpush", "socket")
"""Events to decide, pages to plan, parcels to send by provider."""


def queue(stage: str, lane: str) -> str:
    """Return the name of the queue that rings for one stage of one lane."""
    return f"{lane}.{stage}"


def queues(lanes: tuple[str, ...], stages: tuple[str, ...] = STAGES) -> list[str]:
    """Return the queues of some lanes, the most urgent first."""
    return [queue(stage, lane) for lane in lanes for stage in stages]


def lower_of(first: str, second: str) -> str:
    """Return the less urgent of two lanes."""
    return max(first, second, key=LANES.index)
