"""How many people and devices an application has: counted in the background, because a million take a while.

The count is kept in Redis. One that is older than a minute is shown all the same, and counted anew by the way; without
Redis it is counted on the spot.
"""

import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import cast

import msgspec
from django.db import connections
from django.db.models import Count, Q
from django.utils import timezone

from delivery import redis_client
from devices import freshness
from devices.models import Device, Subscriber

FRESH, KEPT = 60.0, 7 * 86_400
"""Seconds after which a count is renewed, and after which it is forgotten."""
LOST_FOR = timedelta(hours=24)


class Census(msgspec.Struct, frozen=True, array_like=True):
    """An application's people, devices in use, those silent for long, those lost in a day; `at` in epoch seconds."""

    people: int = 0
    devices: int = 0
    stale: int = 0
    lapsed: int = 0
    lost: int = 0
    at: float = 0.0


def of(applications: Iterable[int]) -> Census:
    """Return the sum over some applications, at most about a minute old where somebody looked before."""
    ours = list(applications)
    if not ours:
        return Census(at=time.time())
    nothing: list[bytes | None] = [None] * len(ours)
    kept = redis_client.ask(
        lambda redis: cast("list[bytes | None]", redis.mget([_key(one) for one in ours])), nothing
    )
    counts = [
        _counted(application) if body is None else msgspec.msgpack.decode(body, type=Census)
        for application, body in zip(ours, kept, strict=True)
    ]
    old = [one for one, count in zip(ours, counts, strict=True) if time.time() - count.at > FRESH]
    if old:
        threading.Thread(target=_renew, args=(old,), name="census", daemon=True).start()
    return Census(
        people=sum(one.people for one in counts),
        devices=sum(one.devices for one in counts),
        stale=sum(one.stale for one in counts),
        lapsed=sum(one.lapsed for one in counts),
        lost=sum(one.lost for one in counts),
        at=min(one.at for one in counts),
    )


def _counted(application: int) -> Census:
    dead = (Device.Retired.DEAD_TOKEN, Device.Retired.DEAD_SUBSCRIPTION)
    active = Q(state=Device.State.ACTIVE)
    devices = Device.objects.filter(application=application).aggregate(
        devices=Count("pk", filter=active),
        stale=Count("pk", filter=active & freshness.condition(freshness.STALE)),
        lapsed=Count("pk", filter=active & freshness.condition(freshness.LAPSED)),
        lost=Count("pk", filter=Q(retired_at__gte=timezone.now() - LOST_FOR, retired_reason__in=dead)),
    )
    people = Subscriber.objects.filter(application=application).count()
    found = Census(
        people=people,
        devices=devices["devices"],
        stale=devices["stale"],
        lapsed=devices["lapsed"],
        lost=devices["lost"],
        at=time.time(),
    )
    body = msgspec.msgpack.encode(found)
    redis_client.ask(lambda redis: redis.set(_key(application), body, ex=KEPT), None)
    return found


def _renew(applications: list[int]) -> None:
    """Count anew, once for all who look at the same time."""
    try:
        for application in applications:
            if _mine(application):
                _counted(application)
    finally:
        connections.close_all()


def _mine(application: int) -> bool:
    """Return whether nobody else counts an application now."""
    busy = f"{_key(application)}:busy"
    return bool(redis_client.ask(lambda redis: redis.set(busy, 1, nx=True, ex=30), None))


def _key(application: int) -> str:
    return f"nh:census:{application}"
