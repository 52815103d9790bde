"""The node: this process's devices, their presence in Redis, and the works that keep both up to date."""

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from functools import cache, partial

import structlog
from django.conf import settings
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from delivery import presence
from delivery.node import frames, leaving, lookups
from delivery.node.admission import Admission
from delivery.node.closings import Closings
from delivery.node.connection import Connection
from delivery.node.counts import counts
from delivery.node.horizon import horizon
from delivery.node.lines import Lines
from delivery.node.receiver import Receiver
from delivery.node.registrar import Registrar

log = structlog.get_logger(__name__)

CONNECTIONS_A_DEVICE = 4
SOCKET_TIMEOUT = 10.0
OPENING = 1_000
"""Lines that may be without a token at the same time."""
REDIS_CONNECTIONS = 16
"""Two read the streams; the others are taken in turns."""
SIGN_OF_LIFE = 3.0
RENEW_EVERY = 30.0
CATCH_UP_AT_ONCE = 50
CATCH_UP_PAUSE = 0.1


class Node:
    """One start of one web process."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname().split('.')[0][:24]}-{secrets.token_hex(5)}"
        self.lines = Lines()
        self.admission = Admission(
            most=settings.SOCKETS, opening=OPENING, per_address=settings.SOCKETS_PER_ADDRESS
        )
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
        self._leaving: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        self._signed_at: float | None = None
        self._renewed_at = 0.0
        self._redis_run = ""
        self._behind = False
        self._registrar = Registrar(self.redis, self.name)
        self._receiver = Receiver(
            self.redis, self.name, self.lines, absent=self._registrar.absent, leave=self._ordered_to_leave
        )

    def start(self) -> None:
        """Start the node's works on the running loop, once (Daphne has no lifespan)."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            works: dict[str, Callable[[], Awaitable[None]]] = {
                "urgent": partial(self._receiver.run, urgent=True),
                "rest": partial(self._receiver.run, urgent=False),
                "live": self._live,
                "alarms": self.lines.alarms.run,
                "closings": Closings(self.lines).run,
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
            counts["restarted"] += 1
            await asyncio.sleep(0.5)

    # -- devices

    async def add(self, connection: Connection) -> None:
        """Register a connection's presence; the oldest of too many of one device is told it was replaced."""
        held = self.lines.by_device.setdefault(connection.device, [])
        held.append(connection)
        await self._known.wait()  # a device of a node that senders take for dead would get nothing live
        await self._registrar.present(connection.device)
        if len(held) > CONNECTIONS_A_DEVICE:
            held.pop(0).close(frames.REPLACED)

    def remove(self, connection: Connection) -> None:
        """Take a connection out; presence goes with the device's last one here."""
        held = self.lines.by_device.get(connection.device)
        if held is None or connection not in held:
            return
        held.remove(connection)
        if not held:
            del self.lines.by_device[connection.device]
            self._registrar.absent(connection.device)

    # -- signs of life

    async def _live(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(SIGN_OF_LIFE)

    async def _beat(self) -> None:
        """Give a sign of life, renew the leases, and catch up when something may have passed by."""
        asked = time.time()
        await self._sign()
        if self._behind:
            for connection in self.lines.connections():
                connection.behind = True
        horizon.in_order("signs", asked)
        now = time.monotonic()
        if self._behind or now - self._renewed_at > RENEW_EVERY:
            await self._registrar.renew(list(self.lines.by_device))
            self._renewed_at = now
        if self._behind:
            self._behind = False
            self._start_to_catch_up()

    async def _sign(self) -> None:
        """Give a sign of life, and notice when a stream was full, senders took this node for dead, or Redis forgot.

        What was noticed stays noted until it is made good: Redis may be lost again between two commands,
        and a flushed Redis has the same run id as before.
        """
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zadd(presence.NODES, {self.name: time.time()})
            pipe.getdel(presence.missed(self.name))
            pipe.info("server")
            pipe.zremrangebyscore(presence.NODES, 0, time.time() - 3600)
            pipe.hset(presence.figures(self.name), mapping=self._figures())
            pipe.expire(presence.figures(self.name), presence.FIGURES_SECONDS)
            unknown, missed, server, *_ = await pipe.execute()
        now = time.monotonic()
        if self._signed_at is not None and (unknown or now - self._signed_at > presence.NODE_SECONDS):
            self._behind = True
        if missed is not None:
            self._behind = True
        if self._redis_run not in ("", server["run_id"]):
            self._behind = True
        self._signed_at = now
        self._redis_run = server["run_id"]
        self._known.set()

    def _figures(self) -> dict[str, int]:
        """Return what `/metrics` shows of this node."""
        refused = {f"refused_{reason}": count for reason, count in self.admission.refused.items()}
        return {
            "lines": len(self.lines.open),
            "devices": len(self.lines.by_device),
            "leaving": int(self.admission.leaving),
            "logs_read": lookups.replay.asked,
            **refused,
            **counts,
        }

    def _start_to_catch_up(self) -> None:
        """Beside the signs of life, which must go on meanwhile; one that is under way begins anew."""
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Have every device's log read again, and what it shows asked about, paced."""
        log.warning("node.catches_up", node=self.name, devices=len(self.lines.by_device))
        for number, connection in enumerate(list(self.lines.connections()), 1):
            self._receiver.give([connection], Connection.send, frames.MISSED)
            connection.catch_up()
            counts["caught_up"] += 1
            if number % CATCH_UP_AT_ONCE == 0:
                await asyncio.sleep(CATCH_UP_PAUSE)

    # -- its end

    def _ordered_to_leave(self, order: presence.Leave) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        if order.back:
            self.admission.leaving = False
        else:
            self._leaving = asyncio.get_running_loop().create_task(self.leave(order.seconds))

    async def leave(self, seconds: float) -> None:
        """Let nobody else in; return when every device has moved to another node, or had the time to."""
        self.admission.leaving = True
        if self.lines.open and await self._has_company():
            await leaving.leave(self.lines, seconds=seconds, node=self.name)

    async def _has_company(self) -> bool:
        """Return whether another node gave a sign of life lately; none is known when Redis does not answer."""
        try:
            alive = await self.redis.zrangebyscore(
                presence.NODES, time.time() - presence.NODE_SECONDS, "+inf"
            )
        except (RedisError, OSError) as error:
            log.warning("node.leaves_alone", node=self.name, error=str(error))
            return False
        return any(name.decode() != self.name for name in alive)


@cache
def node() -> Node:
    """Return this process's node."""
    return Node()
