"""Reservations of frequency caps in Redis: one call for a page; what Redis forgets is read back from the log.

A subscriber's places of one cap are a sorted set, `nh:cap:<application>:<cap>:<subscriber>`, of
notifications by the instant they are told. `nh:cap:<application>:e:<caps>` says since when the sets
of these caps are kept. When it is gone, Redis has lost its memory: from then on, until the longest window has passed,
whoever is planned for the first time has their places read back from the log first (`…:w:<caps>:<subscriber>`
says that they were).
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from delivery.log.store import log_store
from delivery.models import Page, Run
from delivery.policy import jitter
from delivery.policy.caps import Ask, Full, concerning
from delivery.positions import floor, stamp_of
from delivery.redis_client import client
from devices.frequency_caps import Cap, parse

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 2.0
"""After Redis lost its memory nobody is planned for so long: pages that had their places have reached the log then."""

RESERVE = """
local now, put, horizon = tonumber(ARGV[1]), ARGV[2] == '1', tonumber(ARGV[3])
local mark, subscribers, notifications, landings = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local epoch = redis.call('HMGET', KEYS[1], 'since', 'whole', 'opens')
if not epoch[1] then return {'lost'} end
if put and tonumber(epoch[3]) > now then return {'wait', epoch[3]} end
local asks, caps = #subscribers / 16, {}
if epoch[2] ~= '1' and now - epoch[1] < horizon then
  local cold = {'cold'}
  for i = 0, asks - 1 do
    if redis.call('EXISTS', mark .. string.sub(subscribers, i * 16 + 1, i * 16 + 16)) == 0 then
      cold[#cold + 1] = i
    end
  end
  if #cold > 1 then return cold end
end
for at = 8, #ARGV, 3 do
  caps[#caps + 1] = {prefix = ARGV[at], count = tonumber(ARGV[at + 1]), window = tonumber(ARGV[at + 2])}
end
local full, last = {'full'}, nil
local score, lives = '', 0
for i = 0, asks - 1 do
  local subscriber = string.sub(subscribers, i * 16 + 1, i * 16 + 16)
  local member = string.sub(notifications, i * 16 + 1, i * 16 + 16)
  local landing = struct.unpack('>d', landings, i * 8 + 1)
  if landing ~= last then
    -- most of a page is told at one instant: what depends on it alone is worked out once
    last, score, lives = landing, string.format('%.17g', landing), math.ceil(math.max(0, landing - now)) + 60
    for _, cap in ipairs(caps) do
      cap.from = string.format('(%.17g', landing - cap.window)
      cap.to = string.format('(%.17g', landing + cap.window)
    end
  end
  local over, free = 0, 0
  for c, cap in ipairs(caps) do
    local key = cap.prefix .. subscriber
    local held = redis.call('ZCOUNT', key, cap.from, cap.to)
    if held >= cap.count then
      local own = redis.call('ZSCORE', key, member)
      if own and math.abs(own - landing) < cap.window then held = held - 1 end
      if held >= cap.count then
        over = c
        local left = cap.count
        local newest = redis.call('ZREVRANGE', key, 0, cap.count, 'WITHSCORES')
        for p = 1, #newest, 2 do
          if newest[p] ~= member then
            left = left - 1
            if left == 0 then free = newest[p + 1] + cap.window end
          end
        end
        break
      end
    end
  end
  if over > 0 then
    full[#full + 1] = i
    full[#full + 1] = over - 1
    full[#full + 1] = string.format('%.17g', free)
  end
  if put then
    for _, cap in ipairs(caps) do
      local key = cap.prefix .. subscriber
      if over > 0 then redis.call('ZREM', key, member)
      else
        redis.call('ZADD', key, score, member)
        redis.call('EXPIRE', key, cap.window + lives)
        -- what is past its window goes now and then: ids are as good as dice
        if string.byte(member, 1) % 8 == 0 then
          redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.17g', now - cap.window))
        end
      end
    end
  end
end
return full
"""
"""KEYS: the epoch. ARGV: now, 1 to reserve or 0 to look, for how long may count what was told before the epoch, what
marks of being read back begin with; of all asks the subscribers (16 bytes each), the notifications (16) and the
landings (8, big-endian); then of each cap what its sets' names begin with, its count and its seconds. Returns `lost`,
`wait` and until when, `cold` and indexes of asks, or `full` and (index, cap, free at) of those without a place.

A page names hundreds of sets: they are put together here, because to send each as a key costs eight times as much."""


class CapsNotReadyError(Exception):
    """Nobody can be counted now: plan the page again at `until` (epoch seconds; 0: when Redis answers)."""

    def __init__(self, until: float, reason: str) -> None:
        self.until = until
        super().__init__(reason)


def of_run(run: Run) -> tuple[Cap, ...]:
    """Return the caps that hold for a run; none for what is transactional."""
    if (run.category and run.category.transactional) or run.snapshot.get("policy", {}).get("transactional"):
        return ()
    return concerning(run.application.caps, run.category.key if run.category else "")


class RedisCaps:
    """An application's reservations (`delivery.policy.caps.Reservations`).

    `caps` are all of the application's. Looking (`put=False`) takes no places, for a dry run.
    """

    def __init__(self, application_id: int, caps: Any, *, put: bool = True) -> None:
        self._application = application_id
        self._all = parse(caps) if caps else ()
        self._put = put
        # a cap that is new begins with what the log knows: other caps are another beginning
        era = f"{zlib.crc32(' '.join(sorted(cap.name for cap in self._all)).encode()):08x}"
        self.epoch = b"nh:cap:%d:e:%s" % (application_id, era.encode())
        self._mark = b"nh:cap:%d:w:%s:" % (application_id, era.encode())
        self._script = client().register_script(RESERVE)

    def reserve(self, caps: Sequence[Cap], asks: Sequence[Ask], *, now: float) -> list[Full | None]:
        """Take places (`Reservations.reserve`); raises `CapsNotReadyError`."""
        try:
            return self._reserve(caps, asks, now)
        except RedisError as error:
            raise CapsNotReadyError(0.0, f"Redis does not answer: {error}") from error

    def _reserve(self, caps: Sequence[Cap], asks: Sequence[Ask], now: float) -> list[Full | None]:
        for _ in range(4):
            state, *answer = self._call(caps, asks, now)
            if state == b"full":
                found: list[Full | None] = [None] * len(asks)
                for at in range(0, len(answer), 3):
                    found[answer[at]] = Full(answer[at + 1], float(answer[at + 2]))
                return found
            if state == b"wait":
                raise CapsNotReadyError(float(answer[0]), "Redis lost its memory a moment ago")
            if state == b"lost":
                self._begin(now)
            else:
                self._read_back([asks[index].subscriber for index in answer], now)
        raise CapsNotReadyError(now + SETTLE_SECONDS, "Redis forgets faster than it is told")

    def _call(self, caps: Sequence[Cap], asks: Sequence[Ask], now: float) -> list[Any]:
        values: list[Any] = [
            repr(now),
            int(self._put),
            self._horizon,
            self._mark,
            b"".join([ask.subscriber for ask in asks]),
            b"".join([ask.notification for ask in asks]),
            struct.pack(f">{len(asks)}d", *[ask.landing for ask in asks]),
        ]
        for cap in caps:
            values += (self._key(cap.name), cap.count, int(cap.seconds))
        return cast("list[Any]", self._script(keys=[self.epoch], args=values))

    @property
    def _horizon(self) -> float:
        """How many seconds after its page was stamped a notification may count."""
        return max((cap.seconds for cap in self._all), default=0.0) + jitter.LONGEST

    def _key(self, cap: str) -> bytes:
        return f"nh:cap:{self._application}:{cap}:".encode()

    def _begin(self, now: float) -> None:
        """Note that sets are kept from now on; `whole` when there is nothing in the log that they could lack."""
        told = Page.objects.filter(
            run__application=self._application, logged__gt=0, stamp__gt=now - self._horizon
        ).exists()
        with client().pipeline() as pipe:
            for name, value in (
                ("whole", int(not told)),
                ("opens", repr(now + SETTLE_SECONDS if told else now)),
                ("since", repr(now)),
            ):
                pipe.hsetnx(self.epoch.decode(), name, cast(Any, value))
            pipe.execute()
        log.warning("caps.begun", application=self._application, read_back=told)

    def _read_back(self, subscribers: Sequence[bytes], now: float) -> None:
        """Give subscribers the places that the log says they have.

        The log knows when a page was stamped. Who was told within a jitter has a place no earlier than they were told.
        """
        uids = [UUID(bytes=uid) for uid in subscribers]
        told = list(log_store().since(uids, floor(now - self._horizon)))
        counted = _counted({run for _, _, run, _ in told})
        with client().pipeline(transaction=False) as pipe:
            for subscriber, notification, run, place in told:
                if run not in counted:
                    continue
                category, span = counted[run]
                at = jitter.within(stamp_of(place), span, notification.bytes)
                for cap in self._all:
                    if cap.category is None or cap.category == category:
                        name = self._key(cap.name) + subscriber.bytes
                        pipe.zadd(name, {notification.bytes: at}, nx=True)
                        pipe.expire(name, int(max(0.0, at - now) + cap.seconds) + 60)
            for uid in subscribers:
                pipe.set(self._mark + uid, b"1", ex=int(self._horizon) + 60)
            pipe.execute()
        log.info(
            "caps.read_back", application=self._application, subscribers=len(subscribers), entries=len(told)
        )

    def release(self, places: Iterable[tuple[bytes, bytes]]) -> None:
        """Give back the places of (subscriber, notification); a Redis that is away has none to give back."""
        gone = list(places)
        if not gone or not self._all:
            return
        try:
            with client().pipeline(transaction=False) as pipe:
                for subscriber, notification in gone:
                    for cap in self._all:
                        pipe.zrem(self._key(cap.name) + subscriber, notification)
                pipe.execute()
        except RedisError as error:
            log.warning("caps.not_released", application=self._application, error=str(error))


def _counted(runs: set[UUID]) -> dict[UUID, tuple[str, float]]:
    """Return, of some runs, those that caps count, with the key of their category and the seconds of their jitter."""
    rows = Run.objects.filter(uid__in=runs).values_list(
        "uid",
        "category__key",
        "snapshot__policy__jitter",
        "category__transactional",
        "snapshot__policy__transactional",
    )
    return {
        uid: (key or "", float(span or 0))
        for uid, key, span, exempt, by_campaign in rows
        if not (exempt or by_campaign)
    }
