"""From wall times to instants: a skipped one is the first instant after the gap, a doubled one the first.

Pure; whoever plans by local time (schedules, quiet hours, local-time delivery) places it here.
"""

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones


@cache
def zone_names() -> frozenset[str]:
    """Return the names of the time zone database; it is a walk over its files, so they are found once."""
    return frozenset(available_timezones())


@lru_cache(maxsize=1_024)
def zone_or(name: str, fallback: str = "UTC") -> ZoneInfo:
    """Return the zone of a name; `fallback`, else UTC, for a name that the time zone database does not know."""
    for wanted in (name, fallback):
        try:
            return ZoneInfo(wanted)
        except (LookupError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def offset(at: datetime) -> timedelta:
    """Return how far an aware time is from UTC."""
    return at.utcoffset() or timedelta()


def placed(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) of a wall time: the first of two, or the end of the gap it falls in."""
    local = wall.replace(tzinfo=zone, fold=0)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return instant
    # PEP 495: in a gap, fold 0 has the offset before the change and fold 1 the one after it
    before = offset(local)
    low = int((wall - offset(local.replace(fold=1))).replace(tzinfo=UTC).timestamp())
    high = int(instant.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if offset(datetime.fromtimestamp(middle, zone)) == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
