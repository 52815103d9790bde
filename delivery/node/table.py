"""The node: this process's WebSockets by device, and the receiver that works the node's two streams."""

import asyncio
import secrets
import socket
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from delivery import presence
from delivery.node import frames
from delivery.node.connection import Connection, Piece
from delivery.node.registrar import Registrar

log = structlog.get_logger(__name__)

SOCKETS_A_DEVICE = 4
BLOCK_MS = 2_000
"""How long a read of the streams waits; shorter than redis-py's socket timeout, which would cut it."""
SOCKET_TIMEOUT = 10.0
REDIS_CONNECTIONS = 16
"""One reads the streams; the others are taken in turns."""
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
            self._tasks = [loop.create_task(self._supervised(work)) for work in (self._receive, self._live)]

    async def _supervised(self, work: Any) -> None:
        while True:
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except (RedisError, OSError) as error:
                log.warning("node.redis_lost", node=self.name, work=work.__name__, error=str(error))
            except Exception:
                log.exception("node.restarted", node=self.name, work=work.__name__)
            await asyncio.sleep(0.5)

    # -- connections

    async def add(self, connection: Connection) -> None:
        """Register a connection's presence; the oldest of too many of one device is told it was replaced."""
        held = self.table.setdefault(connection.device, [])
        held.append(connection)
        await self._known.wait()  # a device of a node that senders take for dead would get nothing live
        await self._registrar.present(connection.device)
        if len(held) > SOCKETS_A_DEVICE:
            await held.pop(0).close(frames.REPLACED)

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

    async def _receive(self) -> None:
        urgent, rest = (presence.stream(self.name, urgent=kind) for kind in (True, False))
        last: dict[Any, Any] = {urgent: "0", rest: "0"}
        while True:
            got = await self.redis.xread(last, count=20, block=BLOCK_MS)
            found = {name.decode(): entries for name, entries in got or ()}
            for name in (urgent, rest):
                await self._work(name, found.get(name, ()), last)

    async def _work(self, name: str, entries: Any, last: dict[Any, Any]) -> None:
        for identity, fields in entries:
            last[name] = identity
            await self._obey(presence.decode_order(fields[b"d"]))
            await self.redis.xdel(name, identity)
            await asyncio.sleep(0)

    async def _obey(self, order: presence.Order) -> None:
        match order:
            case presence.Delivery():
                await self._deliver(order)
            case presence.Recall(application=application, run=run):
                frame = frames.recall(run)
                for connection in self.connections():
                    if connection.application == application:
                        await connection.send(frame)
            case presence.Revoke(subscriber=subscriber, before=before):
                for connection in self.connections():
                    if connection.subscriber.bytes == subscriber and connection.issued_at < before:
                        await connection.close(frames.TOKEN_REFUSED)

    async def _deliver(self, delivery: presence.Delivery) -> None:
        gone: list[int] = []
        for index, pair in enumerate(delivery.pairs):
            held = self.table.get(pair.device)
            if not held:
                gone.append(index)
                continue
            piece: Piece = (pair.notification, pair.place, pair.entry)
            for connection in list(held):
                await connection.deliver([piece])
        for index in gone:
            self._registrar.absent(delivery.pairs[index].device)
        answer = presence.Answer(delivery.parcel, delivery.fence, self.name, gone)
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.rpush(delivery.reply, presence.encode(answer))
            pipe.expire(delivery.reply, presence.REPLY_SECONDS)
            await pipe.execute()


@cache
def node() -> Node:
    """Return this process's node."""
    return Node()
