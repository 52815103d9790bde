"""The node: this process's WebSockets by device, and the receiver that works the node's two streams."""

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from typing import Any

import structlog
from django.conf import settings
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from delivery import presence
from delivery.node import frames
from delivery.node.connection import Connection
from delivery.node.registrar import Registrar

log = structlog.get_logger(__name__)

SOCKETS_A_DEVICE = 4
BLOCK_MS = 2_000
"""How long a read of the streams waits; shorter than redis-py's socket timeout, which would cut it."""
SOCKET_TIMEOUT = 10.0
READ_ENTRIES = 20
PAIRS_AT_ONCE = 100
"""After so many writes everything else has its turn: urgent orders, and what devices say."""
REDIS_CONNECTIONS = 16
"""Two read the streams; the others are taken in turns."""
SIGN_OF_LIFE = 3.0
RENEW_EVERY = 30.0
CATCH_UP_AT_ONCE = 50
CATCH_UP_PAUSE = 0.1


class Node:
    """One start of one WebSocket server process: its table of connections and its receiver."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname().split('.')[0][:24]}-{secrets.token_hex(5)}"
        self.table: dict[bytes, list[Connection]] = {}
        # The default pool has no bound and opens a connection for each caller: thousands of devices that come
        # at once would open as many, and most of these attempts would time out.
        self.redis: aioredis.Redis = aioredis.Redis.from_pool(
            aioredis.BlockingConnectionPool.from_url(
                settings.REDIS_URL,
                max_connections=REDIS_CONNECTIONS,
                timeout=None,  # how long to wait for one of them: as long as the queue before takes
                socket_timeout=SOCKET_TIMEOUT,
                socket_connect_timeout=2.0,
            )
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._known = asyncio.Event()
        self._signed_at: float | None = None
        self._renewed_at = 0.0
        self._redis_run = ""
        self._behind = False
        self._catching_up: asyncio.Task[None] | None = None
        self._registrar = Registrar(self.redis, self.name)

    def start(self) -> None:
        """Start the receiver and the signs of life on the running loop, once (Daphne has no lifespan)."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            works: dict[str, Callable[[], Awaitable[None]]] = {
                "urgent": partial(self._receive, urgent=True),
                "rest": partial(self._receive, urgent=False),
                "live": self._live,
            }
            self._tasks = [loop.create_task(self._supervised(name, work)) for name, work in works.items()]

    async def _supervised(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except (RedisError, OSError) as error:
                log.warning("node.redis_lost", node=self.name, work=name, error=str(error))
            except Exception:
                log.exception("node.restarted", node=self.name, work=name)
            await asyncio.sleep(0.5)

    # -- connections

    async def add(self, connection: Connection) -> None:
        """Register a connection's presence; the oldest of too many of one device is told it was replaced."""
        held = self.table.setdefault(connection.device, [])
        held.append(connection)
        await self._known.wait()  # a device of a node that senders take for dead would get nothing live
        await self._registrar.present(connection.device)
        if len(held) > SOCKETS_A_DEVICE:
            held.pop(0).wire.close(frames.REPLACED)

    def remove(self, connection: Connection) -> None:
        """Take a connection out; presence goes with the device's last one here."""
        held = self.table.get(connection.device)
        if held is None or connection not in held:
            return
        held.remove(connection)
        if not held:
            del self.table[connection.device]
            self._registrar.absent(connection.device)

    def connections(self) -> Iterable[Connection]:
        for held in list(self.table.values()):
            yield from list(held)

    # -- signs of life

    async def _live(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(SIGN_OF_LIFE)

    async def _beat(self) -> None:
        """Give a sign of life, renew the leases, and catch up when something may have passed by."""
        await self._sign()
        now = time.monotonic()
        if self._behind or now - self._renewed_at > RENEW_EVERY:
            await self._registrar.renew(list(self.table))
            self._renewed_at = now
        if self._behind:
            self._behind = False
            self._start_to_catch_up()

    async def _sign(self) -> None:
        """Give a sign of life, and notice when senders took this node for dead or Redis lost its memory.

        What was noticed stays noted until it is made good: Redis may be lost again between two commands,
        and a flushed Redis has the same run id as before.
        """
        unknown = await self.redis.zadd(presence.NODES, {self.name: time.time()})
        now = time.monotonic()
        if self._signed_at is not None and (unknown or now - self._signed_at > presence.NODE_SECONDS):
            self._behind = True
        self._signed_at = now
        self._known.set()
        await self.redis.zremrangebyscore(presence.NODES, 0, time.time() - 3600)
        run = (await self.redis.info("server"))["run_id"]
        if self._redis_run not in ("", run):
            self._behind = True
        self._redis_run = run

    def _start_to_catch_up(self) -> None:
        """Beside the signs of life, which must go on meanwhile; one that is under way begins anew."""
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Have every device's log read again, paced."""
        log.warning("node.catches_up", node=self.name, devices=len(self.table))
        for number, connection in enumerate(list(self.connections()), 1):
            connection.catch_up()
            if number % CATCH_UP_AT_ONCE == 0:
                await asyncio.sleep(CATCH_UP_PAUSE)

    # -- the receiver

    async def _receive(self, *, urgent: bool) -> None:
        """Work one of the two streams; each has a reader of its own, so that urgent ones pass between the others."""
        name = presence.stream(self.name, urgent=urgent)
        last: Any = "0"
        while True:
            got = await self.redis.xread({name: last}, count=READ_ENTRIES, block=BLOCK_MS)
            for _, entries in got or ():
                last = entries[-1][0]
                await self._work(name, entries)

    async def _work(self, name: str, entries: Any) -> None:
        """Obey orders; then answer all of them, and trim what is done, in one round trip."""
        answers: dict[str, list[bytes]] = {}
        for _, fields in entries:
            order = presence.decode_order(fields[b"d"])
            match order:
                case presence.Delivery():
                    gone = await self._deliver(order)
                    answer = presence.Answer(order.parcel, order.fence, self.name, gone)
                    answers.setdefault(order.reply, []).append(presence.encode(answer))
                case presence.Recall(application=application, run=run):
                    frame = frames.recall(run)
                    for connection in self.connections():
                        if connection.application == application:
                            connection.send(frame)
                case presence.Revoke(subscriber=subscriber, before=before):
                    for connection in self.connections():
                        if connection.subscriber.bytes == subscriber and connection.issued_at < before:
                            connection.wire.close(frames.TOKEN_REFUSED)
            await asyncio.sleep(0)
        async with self.redis.pipeline(transaction=False) as pipe:
            for reply, encoded in answers.items():
                pipe.rpush(reply, *encoded)
                pipe.expire(reply, presence.REPLY_SECONDS)
            pipe.xdel(name, *[identity for identity, _ in entries])
            await pipe.execute()

    async def _deliver(self, delivery: presence.Delivery) -> list[int]:
        """Write the pairs to their sockets; return the indexes of those whose device is not here."""
        table = self.table
        gone: list[int] = []
        for index, pair in enumerate(delivery.pairs):
            if index % PAIRS_AT_ONCE == 0 and index:
                await asyncio.sleep(0)
            held = table.get(pair.device)
            if not held:
                gone.append(index)
                continue
            pieces = [(pair.notification, pair.place, pair.entry)]
            for connection in held:
                connection.deliver(pieces)
        for index in gone:
            self._registrar.absent(delivery.pairs[index].device)
        return gone


@cache
def node() -> Node:
    """Return this process's node."""
    return Node()
