"""Works a node's two streams: what senders and others have for the devices that this node holds."""

import asyncio
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import msgspec
import structlog
from redis import asyncio as aioredis

from delivery import presence
from delivery.node import frames
from delivery.node.connection import Connection
from delivery.node.counts import counts
from delivery.node.horizon import horizon
from delivery.node.lines import Lines

log = structlog.get_logger(__name__)

BLOCK_MS = 2_000
"""How long a read of a stream waits; shorter than redis-py's socket timeout, which would cut it."""
READ_ENTRIES = 20
PAIRS_AT_ONCE = 100
"""After so many writes everything else has its turn: urgent orders, and what devices say."""


class Receiver:
    """Reads orders, obeys them, answers, and trims what is worked."""

    def __init__(
        self,
        redis: aioredis.Redis,
        node: str,
        lines: Lines,
        *,
        absent: Callable[[bytes], None],
        leave: Callable[[presence.Leave], None],
    ) -> None:
        self._redis = redis
        self._node = node
        self._lines = lines
        self._absent = absent
        self._leave = leave

    async def run(self, *, urgent: bool) -> None:
        """Work one of the two streams; each has a reader of its own, so that urgent orders pass between the others."""
        name = presence.stream(self._node, urgent=urgent)
        kind = "urgent" if urgent else "rest"
        last: Any = "0"
        horizon.in_order(kind, time.time())
        while True:
            got = await self._redis.xread({name: last}, count=READ_ENTRIES, block=BLOCK_MS)
            until = time.time()
            for _, entries in got or ():
                last = entries[-1][0]
                await self._work(name, entries)
                if len(entries) == READ_ENTRIES:
                    until = _put_at(last)  # there may be more
            horizon.in_order(kind, until)

    async def _work(self, name: str, entries: Any) -> None:
        """Obey orders; then answer all of them, and trim what is done, in one round trip."""
        answers: dict[str, list[bytes]] = {}
        understood = True
        for _, fields in entries:
            try:
                order = presence.decode_order(fields[b"d"])
            except msgspec.DecodeError as error:
                # of a later release: what it was for stands in the log
                log.error("node.order_not_understood", node=self._node, error=str(error))
                understood = False
                continue
            if isinstance(order, presence.Delivery):
                gone = await self._deliver(order)
                answer = presence.Answer(order.parcel, order.fence, self._node, gone)
                answers.setdefault(order.reply, []).append(presence.encode(answer))
            else:
                await self._obey(order)
            await asyncio.sleep(0)
        async with self._redis.pipeline(transaction=False) as pipe:
            for reply, encoded in answers.items():
                pipe.rpush(reply, *encoded)
                pipe.expire(reply, presence.REPLY_SECONDS)
            if not understood:
                pipe.set(presence.missed(self._node), 1, ex=presence.PRESENCE_SECONDS)
            pipe.xdel(name, *[identity for identity, _ in entries])
            await pipe.execute()

    async def _deliver(self, delivery: presence.Delivery) -> list[int]:
        """Write the pairs to their lines; return the indexes of those whose device is not here."""
        held_by = self._lines.by_device
        gone: list[int] = []
        for index, pair in enumerate(delivery.pairs):
            if index % PAIRS_AT_ONCE == 0 and index:
                await asyncio.sleep(0)
            held = held_by.get(pair.device)
            if not held:
                gone.append(index)
                continue
            self.give(held, Connection.deliver, [(pair.notification, pair.place, pair.entry)])
        counts["written"] += len(delivery.pairs) - len(gone)
        for index in gone:
            self._absent(delivery.pairs[index].device)
        return gone

    async def _obey(self, order: presence.Recall | presence.Marked | presence.Said | presence.Leave) -> None:
        match order:
            case presence.Recall(application=application, run=run):
                frame = frames.recall(run)
                theirs = (one for one in self._lines.connections() if one.application == application)
                while some := list(islice(theirs, PAIRS_AT_ONCE)):
                    self.give(some, Connection.send, frame)
                    await asyncio.sleep(0)
            case presence.Marked(devices=devices, ids=ids, state=state):
                frame = frames.marked(ids, state)
                for device in devices:
                    self.give(self._held(device), Connection.send, frame)
            case presence.Said(source=source, devices=devices, data=data):
                frame = frames.message(source, data)
                for device in devices:
                    self.give(self._held(device), Connection.send, frame)
            case presence.Leave():
                self._leave(order)

    def give(
        self,
        connections: Iterable[Connection],
        give: Callable[..., None],
        *given: Any,
    ) -> None:
        """Give something to connections; one that fails ends, and keeps nothing from the others."""
        for connection in connections:
            try:
                give(connection, *given)
            except Exception:
                log.exception("node.not_given", node=self._node)
                connection.close(frames.FAILED)

    def _held(self, device: bytes) -> list[Connection]:
        return self._lines.by_device.get(device, [])


def _put_at(identity: bytes) -> float:
    """Return when an order was put on its stream, by Redis's clock (epoch seconds)."""
    return int(identity.partition(b"-")[0]) / 1000
