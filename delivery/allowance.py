"""What a parcel may send now: tokens of the provider's minute, with a reserve for each lane, and streams.

Kept in Redis and taken in one Lua call per parcel. A provider's minutes are not aligned to our clock, so no 60
seconds in a row may hold more than a minute's quota: tokens are counted by the second in which they were taken,
and come back a minute after it. The streams of an (application, provider) grow by steps while parcels come
through clean and are halved by a wave of refusals. Without Redis nothing is held back: the provider says so itself.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import msgspec
from django.conf import settings
from redis import Redis
from redis.commands.core import Script

from delivery import redis_client

PER_MINUTE = {"fcm": 600_000}
"""Messages a minute and project; client errors count, 429 does not; providers that are not here have no quota. What one
Android device may get is `delivery.device_quota`'s.
Source: https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas"""
LEAST_STREAMS = 8
MORE_STREAMS = 25
"""The most that one clean parcel adds."""
FORGET_SECONDS = 3_600

TAKE = """
local clean = redis.call('HMGET', KEYS[2], 'streams', 'waves')
local streams, waves = tonumber(clean[1] or 0), tonumber(clean[2] or 0)
local wanted, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
if limit < 0 then return {wanted, 0, 0, streams, waves} end
local now = tonumber(ARGV[3])
if now == 0 then now = tonumber(redis.call('TIME')[1]) end
local kept = redis.call('HGETALL', KEYS[1])
local used, live, past = 0, {}, {}
for at = 1, #kept, 2 do
  local second = tonumber(kept[at])
  if second + 61 > now then
    used = used + tonumber(kept[at + 1])
    live[#live + 1] = {second, tonumber(kept[at + 1])}
  else past[#past + 1] = kept[at] end
end
if #past > 0 then redis.call('HDEL', KEYS[1], unpack(past)) end
local given = math.max(0, math.min(wanted, limit - used))
if given > 0 then
  redis.call('HINCRBY', KEYS[1], now, given)
  redis.call('EXPIRE', KEYS[1], 120)
end
local wait = 0
if given < wanted then
  table.sort(live, function(one, other) return one[1] < other[1] end)
  local free, missing = limit - used - given, math.min(wanted - given, limit)
  wait = 61
  for _, slot in ipairs(live) do
    free = free + slot[2]
    if free >= missing then wait = slot[1] + 61 - now break end
  end
end
return {given, wait, now, streams, waves}
"""
"""KEYS: the quota's seconds, the pace; ARGV: messages, the lane's limit (-1: none), the second (0: Redis's own).
Returns how many may go, seconds until the rest may, the second they are booked on, streams and waves (0: unknown)."""

GIVE_BACK = """
local left = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
if left > 0 then redis.call('HINCRBY', KEYS[1], ARGV[1], -math.min(left, tonumber(ARGV[2]))) end
return left
"""
"""KEYS: the quota's seconds; ARGV: the second they were booked on, how many were not used."""

SETTLE = """
local kept = redis.call('HMGET', KEYS[1], 'streams', 'waves')
local used, least, most, more = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local streams, waves = tonumber(kept[1] or most), tonumber(kept[2] or 0)
if more > 0 then
  streams, waves = math.min(most, math.max(streams, used + more)), 0
  if streams == most then redis.call('DEL', KEYS[1]) return {streams, 0} end
elseif streams >= used then
  streams, waves = math.max(least, math.floor(used / 2)), waves + 1
end
redis.call('HSET', KEYS[1], 'streams', streams, 'waves', waves)
redis.call('EXPIRE', KEYS[1], ARGV[5])
return {streams, waves}
"""
"""KEYS: the pace; ARGV: the streams the parcel went with, bounds, how many more it earned (0: halve), seconds.
Parcels that went at the same time count once: what they say is about the streams they went with."""


class Quota(msgspec.Struct, frozen=True):
    """Whose tokens a parcel takes: `pool` names the minute, `per_minute` is how many it has (0: no quota)."""

    pool: str
    per_minute: int


class Allowance(msgspec.Struct, frozen=True):
    """How much of a parcel may go now, and how.

    `messages` of it may go; the rest may ask again in `wait` seconds. `streams` at a time; `waves` of
    refusals came one after another before.
    """

    messages: int
    wait: float
    streams: int
    waves: int
    pool: str = ""
    booked: int = 0


def quota_of(
    application_id: int, provider: str, secret: Mapping[str, Any], chosen: Mapping[str, Any]
) -> Quota:
    """Return the quota of a credential; FCM's belongs to the project, so applications that share one share it."""
    account = secret.get("service_account") or {}
    pool = f"{provider}:{account.get('project_id') or application_id}"
    return Quota(pool, int(chosen.get("per_minute", PER_MINUTE.get(provider, 0))))


def limit_of(per_minute: int, lane: str) -> int:
    """Return how much of a minute's quota may be used up before a lane has to wait: what is left is reserved."""
    return max(1, int(per_minute * (1 - float(settings.LANE_RESERVES[lane])) + 1e-6))


def take(
    application_id: int, provider: str, lane: str, wanted: int, quota: Quota, *, now: int = 0
) -> Allowance:
    """Take tokens for up to `wanted` messages; `now` (whole epoch seconds) is Redis's clock if 0."""
    limit = limit_of(quota.per_minute, lane) if quota.per_minute else -1
    keys = [f"nh:quota:{quota.pool}", _pace(application_id, provider)]
    answer = _ask(TAKE, keys, [wanted, limit, now])
    if answer is None:
        return Allowance(wanted, 0.0, settings.STREAMS, 0)
    given, wait, booked, streams, waves = answer
    return Allowance(
        given, float(wait), min(streams, settings.STREAMS) or settings.STREAMS, waves, quota.pool, booked
    )


def give_back(allowance: Allowance, unused: int) -> None:
    """Return tokens of messages that never reached the provider, or that it did not count."""
    if unused and allowance.booked:
        _ask(GIVE_BACK, [f"nh:quota:{allowance.pool}"], [allowance.booked, unused])


def came_clean(application_id: int, provider: str, allowance: Allowance, messages: int) -> None:
    """Grow the streams by what a parcel without refusals has shown to be possible."""
    if allowance.streams < settings.STREAMS or allowance.waves:
        _settle(application_id, provider, allowance, min(messages, MORE_STREAMS))


def came_in_waves(application_id: int, provider: str, allowance: Allowance) -> int:
    """Halve the streams after a wave of refusals; return how many waves came one after another."""
    return _settle(application_id, provider, allowance, 0)


def streams_of(application_id: int, provider: str) -> int:
    """Return how many requests may be under way at a provider for an application, for people to look at."""
    kept = redis_client.ask(lambda redis: redis.hget(_pace(application_id, provider), "streams"), None)
    return int(min(int(cast(bytes | None, kept) or settings.STREAMS), settings.STREAMS))


def _settle(application_id: int, provider: str, allowance: Allowance, more: int) -> int:
    least = min(LEAST_STREAMS, settings.STREAMS)
    args = [allowance.streams, least, settings.STREAMS, more, FORGET_SECONDS]
    answer = _ask(SETTLE, [_pace(application_id, provider)], args)
    return int(answer[1]) if answer else allowance.waves + 1


def _pace(application_id: int, provider: str) -> str:
    return f"nh:pace:{provider}:{application_id}"


@cache
def _script(text: str) -> Script:
    return redis_client.client().register_script(text)


def _ask(text: str, keys: list[str], args: list[Any]) -> list[int] | None:
    def run(redis: Redis) -> list[int] | None:
        answer = _script(text)(keys=keys, args=args, client=redis)
        return cast(list[int], answer)

    return redis_client.ask(run, None)
