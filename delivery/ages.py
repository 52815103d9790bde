"""Age at delivery: how old messages were when a provider or socket took them, by lane, beside the lane's objective.

Counts stand in Redis hashes: one for each lane since Redis began, which `/metrics` shows, and one
for each application, lane and hour, which the dashboard sums. One round trip a parcel; losing
Redis loses only this history.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping

import msgspec
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from delivery.lanes import LANES
from delivery.redis_client import client

log = structlog.get_logger(__name__)

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
"""The buckets' upper bounds in seconds; another holds what is older than the last."""
HOURS = 24
"""Hours whose counts are kept by application."""
PATIENCE = 5.0
"""Seconds for which nothing is counted after Redis failed: counting must not hold up sending."""

_resting_until = 0.0
_lock = threading.Lock()


class Histogram(msgspec.Struct):
    """Messages by age: `buckets` beside `BOUNDS` and one more, `within` those in time for the objective."""

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    within: int = 0
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.buckets)

    @property
    def share(self) -> float | None:
        """The share that was in time, None while there is nothing to speak of."""
        return self.within / self.count if self.count else None

    def median(self) -> float | None:
        """Return the upper bound of the bucket in which the middle stands, None without one."""
        passed, half = 0, self.count / 2
        for bound, inside in zip(BOUNDS, self.buckets, strict=False):
            passed += inside
            if inside and passed >= half:
                return bound
        return None

    def add(self, fields: Mapping[bytes, bytes]) -> None:
        """Add what a hash holds."""
        for name, value in fields.items():
            if name == b"within":
                self.within += int(value)
            elif name == b"ms":
                self.seconds += int(value) / 1000
            else:
                self.buckets[int(name)] += int(value)


def objective(lane: str) -> float:
    """Return the age in seconds by which a lane's messages should be delivered."""
    return float(settings.AGE_OBJECTIVES[lane])


def record(application: int, lane: str, sent: Mapping[float, int], *, now: float) -> None:
    """Count messages that were delivered at `now`: since when they were due (epoch seconds) → how many.

    An instant of 0 is not known and not counted. Never raises: what Redis does not take is not counted.
    """
    global _resting_until
    if not sent or time.monotonic() < _resting_until:
        return
    counts: dict[str, int] = {"within": 0, "ms": 0}
    limit = objective(lane)
    for since, count in sent.items():
        if not since:
            continue
        age = max(0.0, now - since)
        bucket = str(bisect_left(BOUNDS, age))
        counts[bucket] = counts.get(bucket, 0) + count
        counts["ms"] += int(age * 1000) * count
        if age <= limit:
            counts["within"] += count
    hour = _hourly(application, lane, int(now // 3600))
    try:
        pipe = client().pipeline(transaction=False)
        for key in (_total(lane), hour):
            for field, amount in counts.items():
                if amount:
                    pipe.hincrby(key, field, amount)
        pipe.expire(hour, (HOURS + 1) * 3600)
        pipe.execute()
    except RedisError as error:
        with _lock:
            _resting_until = time.monotonic() + PATIENCE
        log.warning("ages.not_counted", lane=lane, messages=sum(sent.values()), error=str(error))


def totals() -> dict[str, Histogram]:
    """Return every lane's histogram since Redis began; raises `RedisError`."""
    return _read({lane: [_total(lane)] for lane in LANES})


def lately(applications: Iterable[int], *, now: float, hours: int = HOURS) -> dict[str, Histogram]:
    """Return every lane's histogram of some applications over the last hours; raises `RedisError`."""
    ours = list(applications)
    this = int(now // 3600)
    return _read(
        {lane: [_hourly(one, lane, this - back) for one in ours for back in range(hours)] for lane in LANES}
    )


def _read(keys: Mapping[str, list[str]]) -> dict[str, Histogram]:
    pipe = client().pipeline(transaction=False)
    for mine in keys.values():
        for key in mine:
            pipe.hgetall(key)
    answers = iter(pipe.execute())
    found = {}
    for lane, mine in keys.items():
        found[lane] = Histogram()
        for _ in mine:
            found[lane].add(next(answers))
    return found


def _total(lane: str) -> str:
    return f"nh:age:{lane}"


def _hourly(application: int, lane: str, hour: int) -> str:
    return f"nh:age:{application}:{lane}:{hour}"
