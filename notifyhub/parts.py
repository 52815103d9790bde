"""The processes that make up a hub: what each is called, how it is started, and which port it takes."""

import sys
from dataclasses import dataclass
from pathlib import Path

from notifyhub import folder, settings
from notifyhub.redis_binary import find_redis_server

REDIS = "redis"
WEB = "web"
URGENT = "urgent"
REST = "rest"
CLOCK = "clock"
PARTS = (REDIS, WEB, URGENT, REST, CLOCK)
GIVES_WAY = 10
"""Niceness of what is not urgent: on a machine without a core to spare, a tenth of the others' share."""


@dataclass(frozen=True)
class Part:
    """A process: its command line, and the port it listens on with the setting that moves it."""

    name: str
    command: tuple[str, ...]
    address: tuple[str, int] | None = None
    port_setting: str = ""
    gives_way: int = 0
    """By how much it stands behind the others when cores are scarce (its niceness)."""


def parts(names: tuple[str, ...]) -> list[Part]:
    """Return the parts of these names in the order they start.

    Raises `notifyhub.redis_binary.RedisNotFoundError` when the embedded Redis is asked for and none is here.
    """
    made = {REDIS: _redis, WEB: _web, URGENT: _urgent, REST: _rest, CLOCK: _clock}
    return [made[name]() for name in PARTS if name in names]


def _redis() -> Part:
    home = settings.DATA_DIR / "redis"
    return Part(
        REDIS,
        (str(find_redis_server()), str(_write_redis_config(home))),
        address=("127.0.0.1", settings.REDIS_PORT),
        port_setting="NOTIFYHUB_REDIS_PORT",
    )


def _write_redis_config(home: Path) -> Path:
    """Write the embedded Redis's configuration; the password stands in it, so that no `ps` shows it."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / "redis.conf"
    path.unlink(missing_ok=True)
    lines = [
        "bind 127.0.0.1",
        f"port {settings.REDIS_PORT}",
        "protected-mode yes",
        f"requirepass {settings.REDIS_PASSWORD}",
        f'dir "{home}"',
        "daemonize no",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        # Streams, presence and bells must never be thrown out to make room: refuse the write instead.
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        f'logfile "{home / "redis.log"}"',
        "loglevel warning",
    ]
    folder.write_secret(path, "\n".join(lines))
    return path


def _web() -> Part:
    return Part(
        WEB,
        (sys.executable, "-m", "notifyhub.web"),
        address=(settings.BIND, settings.PORT),
        port_setting="NOTIFYHUB_PORT",
    )


def _worker(name: str, lanes: tuple[str, ...], *, gives_way: int = 0) -> Part:
    from delivery.lanes import queues

    return Part(
        name,
        (
            *(sys.executable, "-m", "celery", "--app", "notifyhub.celery"),
            *("--quiet", "--skip-checks", "worker"),
            *("--hostname", f"{name}@%h", "--queues", ",".join(queues(lanes))),
            # A thread for each stage of each lane: one that a slow provider holds up keeps no other waiting.
            *("--pool", "threads", "--concurrency", str(settings.WORKER_THREADS)),
            *(
                "--without-mingle",
                "--without-gossip",
                "--without-heartbeat",
                "--loglevel",
                settings.LOG_LEVEL,
            ),
        ),
        gives_way=gives_way,
    )


def _urgent() -> Part:
    from delivery import lanes

    return _worker(URGENT, lanes.URGENT)


def _rest() -> Part:
    from delivery import lanes

    return _worker(REST, lanes.REST, gives_way=GIVES_WAY)


def _clock() -> Part:
    return Part(CLOCK, (sys.executable, str(settings.BASE_DIR / "manage.py"), "clock", "--skip-checks"))
