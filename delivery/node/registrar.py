"""Presence of a node's devices, many at a time: those that come and go within a moment share a round trip."""

import asyncio
import time
from contextlib import suppress

import structlog
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from delivery import presence

log = structlog.get_logger(__name__)

MOST = 500
"""Devices in one round trip."""


class Registrar:
    """Writes which devices a node start holds. Leases renew themselves through `renew`."""

    def __init__(self, redis: aioredis.Redis, node: str) -> None:
        self._redis = redis
        self._node = node
        self._present = redis.register_script(presence.PRESENT)
        self._absent = redis.register_script(presence.ABSENT)
        self._coming: dict[bytes, list[asyncio.Future[None]]] = {}
        self._leaving: set[bytes] = set()
        self._task: asyncio.Task[None] | None = None

    async def present(self, device: bytes) -> None:
        """Return once the device's presence is written; raises what Redis raised."""
        self._leaving.discard(device)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._coming.setdefault(device, []).append(written)
        self._wake()
        await written

    def absent(self, device: bytes) -> None:
        """Take the device out in a moment; a lease that stays runs out by itself."""
        if device not in self._coming:
            self._leaving.add(device)
            self._wake()

    async def renew(self, devices: list[bytes]) -> None:
        """Prolong the leases of devices, and write those that are lost."""
        for start in range(0, len(devices), MOST):
            await self._write(devices[start : start + MOST], [])
            await asyncio.sleep(0)

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._coming or self._leaving:
            coming = dict(list(self._coming.items())[:MOST])
            leaving = list(self._leaving)[:MOST]
            for device in coming:
                del self._coming[device]
            self._leaving.difference_update(leaving)
            waiting = [written for futures in coming.values() for written in futures if not written.done()]
            try:
                await self._write(list(coming), leaving)
            except (RedisError, OSError) as error:
                log.warning("node.presence_unwritten", node=self._node, error=str(error))
                for written in waiting:
                    with suppress(asyncio.InvalidStateError):
                        written.set_exception(error)
                    written.exception()  # whoever waited may be gone
                continue
            for written in waiting:
                with suppress(asyncio.InvalidStateError):
                    written.set_result(None)

    async def _write(self, coming: list[bytes], leaving: list[bytes]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for device in coming:
                await self._present(
                    keys=[presence.key(device)],
                    args=[self._node, presence.PRESENCE_SECONDS, int(time.time())],
                    client=pipe,
                )
            for device in leaving:
                await self._absent(keys=[presence.key(device)], args=[self._node], client=pipe)
            await pipe.execute()
