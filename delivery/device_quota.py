"""How many messages one Android device gets over FCM in a minute and in an hour: what is too much waits.

FCM refuses what exceeds it, and counts the refusals against the project. Only what events bring about can come so
often: a campaign tells a device once. Devices are counted in Redis by the lower bits of their keys, so that a window
has the same size for a thousand devices as for a million; where two share a counter, it errs on the side of waiting.
Windows slide: of the one before the part that is not yet over counts. Without Redis nothing is held back; FCM says so
itself.

Source: "Maximum message rate to a single device" (firebase.google.com/docs/cloud-messaging/throttling-and-quotas).
"""

import time
from collections.abc import Sequence
from functools import cache

from redis import Redis
from redis.commands.core import Script

from delivery import redis_client
from delivery.outgoing import Target
from devices.fcm_addresses import MANY

WINDOWS = ((60, 240), (3_600, 5_000))
"""Seconds, and how many messages a device may get in so many."""
SLOTS = 1 << 16
"""Counters of a window, two bytes each. At a project's whole quota of 600,000 a minute nine messages share one."""

TAKE = """
local function reached(window, slot)
  local at = '#' .. slot
  local now = redis.call('BITFIELD_RO', KEYS[window * 2 - 1], 'GET', 'u16', at)[1]
  local before = redis.call('BITFIELD_RO', KEYS[window * 2], 'GET', 'u16', at)[1]
  return now + before * tonumber(ARGV[window * 2 + 1]) >= tonumber(ARGV[window * 2])
end
local slots, over = ARGV[1], {}
for at = 1, #slots, 2 do
  local slot = string.byte(slots, at) * 256 + string.byte(slots, at + 1)
  if reached(2, slot) then over[#over + 1] = (at - 1) / 2 over[#over + 1] = 2
  elseif reached(1, slot) then over[#over + 1] = (at - 1) / 2 over[#over + 1] = 1
  else
    redis.call('BITFIELD', KEYS[1], 'OVERFLOW', 'SAT', 'INCRBY', 'u16', '#' .. slot, 1)
    redis.call('BITFIELD', KEYS[3], 'OVERFLOW', 'SAT', 'INCRBY', 'u16', '#' .. slot, 1)
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('EXPIRE', KEYS[3], ARGV[7])
return over
"""
"""KEYS: of each window this one and the one before; ARGV: two bytes for each device; of each window how many there may
be and the share of the one before that counts; when both keys may go. Counts one message for each device that may
have it; returns the others' indexes, each with the window (1, 2) that is full."""


def is_counted(target: Target) -> bool:
    """Return whether FCM counts what a device gets: Android alone, and no topics."""
    return target.platform not in ("ios", "web") and not target.token.startswith(MANY)


def take(application_id: int, devices: Sequence[int], *, now: float | None = None) -> dict[int, float]:
    """Count a message for each device (primary keys) but for those that have had too many; one round trip.

    Returns for these, by index, how many seconds are left of the window that is full.
    """
    if not devices:
        return {}
    instant = time.time() if now is None else now
    slots = b"".join((device % SLOTS).to_bytes(2) for device in devices)
    keys, args, left = [], [slots], []
    for seconds, most in WINDOWS:
        number, gone = divmod(instant, seconds)
        keys += [f"nh:device:{application_id}:{seconds}:{int(number) - back}" for back in (0, 1)]
        args += [str(most).encode(), str(1 - gone / seconds).encode()]
        left.append(seconds - gone)
    args += [str(2 * seconds).encode() for seconds, _ in WINDOWS]

    def run(redis: Redis) -> list[int]:
        found: list[int] = _script()(keys=keys, args=args, client=redis)
        return found

    over: list[int] = redis_client.ask(run, [])
    return {index: left[window - 1] for index, window in zip(over[::2], over[1::2], strict=True)}


@cache
def _script() -> Script:
    return redis_client.client().register_script(TAKE)
