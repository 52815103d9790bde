"""A real Redis for tests, with a password, and on request with a log of every write."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import redis

from notifyhub.redis_binary import RedisNotFoundError, find_redis_server
from tests.servers.process import Process, ServerError, free_port
from tests.servers.server import Server


class Redis(Server):
    """Redis on 127.0.0.1.

    Without `appendonly` a kill or a restart loses everything, as in the product's default. With it every answered
    write survives a kill of the process: the file is written before the answer and left to the kernel to sync.
    `options` are further lines of redis.conf, such as `maxmemory 64mb`.
    """

    name = "redis"
    max_seconds_to_start = 15.0

    def __init__(
        self,
        folder: Path,
        *,
        appendonly: bool = False,
        keep: bool = False,
        port: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, keep=keep, port=port or free_port())
        self.appendonly = appendonly
        self.options = tuple(options)
        self._password = secrets.token_urlsafe(16)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def processes(self) -> list[Process]:
        return [self._process] if self._process else []

    def environment(self) -> dict[str, str]:
        return {"NOTIFYHUB_REDIS_URL": self.url}

    def _start(self) -> None:
        try:
            binary = find_redis_server()
        except RedisNotFoundError as error:
            raise ServerError(str(error)) from error
        config = self.home / "redis.conf"
        config.write_text("\n".join(self._config()) + "\n")
        config.chmod(0o600)
        self._process = Process([binary, config], name=self.name, log=self.home / "log", env=dict(os.environ))
        self._process.start()
        with redis.Redis.from_url(self.url, socket_timeout=1.0) as client:
            # PING is refused while the append-only file is being read.
            self._process.wait_until(client.ping, seconds=self.max_seconds_to_start)

    def _config(self) -> list[str]:
        return [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self._password}",
            f'dir "{self.home}"',
            'save ""',
            f"appendonly {'yes' if self.appendonly else 'no'}",
            # `everysec` may hold a write back for two seconds while a sync is under way, and a kill would lose it.
            "appendfsync no",
            *self.options,
        ]
