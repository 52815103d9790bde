"""Tells every web process at once that an action was taken on a run, for the live pages that show it.

What the Channels layer is good at: now and then a message to a group. It may get lost, and is not waited for; the pages
look at the database by themselves all the same.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from delivery import redis_client

log = structlog.get_logger(__name__)

GROUP = "run-pages"
"""One for all: actions are few, and each process knows which runs it shows."""
SECONDS = 0.5
"""The longest that an action may be kept waiting."""
JOIN_EVERY = 60.0
"""Seconds; membership ends after `group_expiry` (settings), or with what Redis had in memory."""
AGAIN = 2.0
"""Seconds between two attempts while Redis is away."""


def of_run(run: int) -> None:
    """Tell, once the present transaction is committed, that an action was taken on a run (primary key)."""
    transaction.on_commit(partial(_tell, {"run": run}), robust=True)


def of_application(application: int) -> None:
    """The same for all runs of an application (primary key)."""
    transaction.on_commit(partial(_tell, {"application": application}), robust=True)


def _tell(said: dict[str, int]) -> None:
    redis_client.ask(lambda _: async_to_sync(_send)(said), None)


async def _send(said: dict[str, int]) -> None:
    layer: Any = get_channel_layer()
    try:
        async with asyncio.timeout(SECONDS):
            await layer.group_send(GROUP, said)
    except TimeoutError as error:
        raise redis.TimeoutError(f"The Channels layer took longer than {SECONDS} s") from error


async def listen(hear: Callable[[dict[str, int]], None]) -> None:
    """Hand over what is told, {"run": …} or {"application": …}, until cancelled. Without Redis it tries again."""
    layer: Any = get_channel_layer()
    away = False
    name = await layer.new_channel(GROUP)
    # the same one each time: of what is put for one that nobody reads any more the layer would keep some for ever
    channel = name.partition("!")[0] + "!pages"
    while True:
        try:
            await layer.group_add(GROUP, channel)
            away = False
            async with asyncio.timeout(JOIN_EVERY):
                while True:
                    hear(await layer.receive(channel))
        except TimeoutError:
            continue
        except (redis.RedisError, OSError) as error:
            if not away:
                log.warning("news.away", error=str(error))
            away = True
            await asyncio.sleep(AGAIN)
