"""Where the node crosses from its event loop into blocking code: a few threads with connections of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, connections

THREADS = 4
"""Enough to keep a database busy; more would only wait for each other, and each holds a connection."""

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="node-database")


def blocking(function: Callable[Given, Answer]) -> Callable[Given, Awaitable[Answer]]:
    """Return an awaitable form of a function that reads or writes a database.

    Not Channels' `database_sync_to_async`: that one sends every call of the process through one
    thread, and opens and closes a connection around it.
    """

    @wraps(function)
    async def run(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        work = partial(_guarded, partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(_threads, work)

    return run


def _guarded(work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except (DatabaseError, InterfaceError):
        # the connection may be what is broken; the next call of this thread makes a new one
        for connection in connections.all(initialized_only=True):
            connection.close()
        raise
