"""Gates: a provider's door for one application. Workers pass parcels by whose gate is not open; none sleeps.

A shut gate is a row: it stands until somebody opens it. A slowed one opens by itself at its time. Both are
shared through Redis, so that a claim asks once for all applications: the shut as a copy that is read again from the
rows every few seconds, the slowed as a sorted set. Without Redis the rows answer, which know the slowed ones too.
"""

import time
from datetime import UTC, datetime
from typing import cast

import msgspec
import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from redis import Redis

from delivery import bell, dbclock, lanes, redis_client
from delivery.models import Gate

log = structlog.get_logger(__name__)

COPY_SECONDS = 5


def shut(application_id: int, provider: str, reason: str) -> None:
    """Shut a gate: no parcel starts until somebody opens it, as saving new credentials does."""
    _set(application_id, provider, Gate.State.SHUT, reason=reason[:200], until=None)
    redis_client.ask(lambda redis: redis.delete(_shut_key(provider)), None)
    log.error("gate.shut", application=application_id, provider=provider, reason=reason)


def slow(application_id: int, provider: str, *, until: float, reason: str, lane: str = "") -> None:
    """Keep a gate closed until an instant (epoch seconds), as Retry-After asks; a shut one stays shut.

    Of several instants the latest holds. With a `lane` only its parcels wait, as when the rest of the
    quota is reserved for more urgent ones; that is shared through Redis alone.
    """

    def share(redis: Redis) -> None:
        key, now = _slow_key(provider), time.time()
        with redis.pipeline(transaction=False) as pipe:
            pipe.zremrangebyscore(key, 0, now)
            pipe.zadd(key, {_member(application_id, lane): until}, gt=True)
            pipe.expireat(key, int(max(until, now)) + 3_600)
            pipe.execute()

    redis_client.ask(share, None)
    if lane:
        return
    Gate.objects.get_or_create(application_id=application_id, provider=provider)
    instant = datetime.fromtimestamp(until, UTC)
    Gate.objects.filter(
        ~Q(state=Gate.State.SHUT),
        ~Q(state=Gate.State.SLOWED, until__gte=instant),
        application_id=application_id,
        provider=provider,
    ).update(state=Gate.State.SLOWED, until=instant, reason=reason[:200], changed_at=timezone.now())


def open_(application_id: int, provider: str) -> None:
    """Open a gate and let its parcels go on."""
    _set(application_id, provider, Gate.State.OPEN, reason="", until=None)

    def share(redis: Redis) -> None:
        members = [_member(application_id, lane) for lane in ("", *lanes.LANES)]
        with redis.pipeline(transaction=False) as pipe:
            pipe.delete(_shut_key(provider))
            pipe.zrem(_slow_key(provider), *members)
            pipe.execute()

    def go_on() -> None:
        redis_client.ask(share, None)
        bell.ring_due()

    transaction.on_commit(go_on)


def state(application_id: int, provider: str) -> Gate:
    """Return a gate as it is now: one that was never touched is open, and so is a slowed one after its time."""
    found = Gate.objects.filter(application_id=application_id, provider=provider).first()
    if found is None:
        return Gate(application_id=application_id, provider=provider)
    if not found.holds:
        found.state, found.reason, found.until = Gate.State.OPEN, "", None
    return found


def barred(provider: str, lane: str) -> list[int]:
    """Return the applications whose parcels of a lane may not start at a provider now; one round trip."""

    def look(redis: Redis) -> tuple[bytes | None, list[bytes]] | None:
        with redis.pipeline(transaction=False) as pipe:
            pipe.get(_shut_key(provider))
            pipe.zrangebyscore(_slow_key(provider), f"({time.time()}", "+inf")
            return cast(tuple[bytes | None, list[bytes]], tuple(pipe.execute()))

    seen = redis_client.ask(look, None)
    if seen is None:
        return _barred_by_rows(provider)
    copy, slowed = seen
    closed = set(_decode(copy) if copy is not None else _copy(provider))
    for member in slowed:
        application, _, only = member.decode().partition(":")
        if only in ("", lane):
            closed.add(int(application))
    return sorted(closed)


def _copy(provider: str) -> list[int]:
    """Read which gates are shut, and leave a copy for everybody."""
    rows = Gate.objects.filter(provider=provider, state=Gate.State.SHUT)
    shut_ones = list(rows.values_list("application_id", flat=True))
    body = msgspec.msgpack.encode(shut_ones)
    redis_client.ask(lambda redis: redis.set(_shut_key(provider), body, ex=COPY_SECONDS), None)
    return shut_ones


def _barred_by_rows(provider: str) -> list[int]:
    now = datetime.fromtimestamp(dbclock.now(), UTC)
    rows = Gate.objects.filter(Q(state=Gate.State.SHUT) | Q(state=Gate.State.SLOWED, until__gt=now))
    return list(rows.filter(provider=provider).values_list("application_id", flat=True))


def _set(application_id: int, provider: str, state: str, *, reason: str, until: datetime | None) -> None:
    Gate.objects.update_or_create(
        application_id=application_id,
        provider=provider,
        defaults={"state": state, "reason": reason, "until": until, "changed_at": timezone.now()},
    )


def _shut_key(provider: str) -> str:
    return f"nh:shut:{provider}"


def _slow_key(provider: str) -> str:
    return f"nh:slow:{provider}"


def _member(application_id: int, lane: str) -> str:
    return f"{application_id}:{lane}" if lane else str(application_id)


_decode = msgspec.msgpack.Decoder(list[int]).decode
