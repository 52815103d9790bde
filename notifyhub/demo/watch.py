"""Watching a run until it is complete: a progress bar for people, the two balances for the end."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from delivery import runs
from delivery.models import Parcel, Run

WIDTH = 40


class WatchError(Exception):
    """A run did not come to its end in time; says where it stands."""


def bar(done: int, total: int, *, width: int = WIDTH) -> str:
    """Return a progress bar in text."""
    filled = width * min(done, total) // max(total, 1)
    return f"[{'█' * filled}{'·' * (width - filled)}] {done:,}/{total:,}"


def until_complete(
    run: Run,
    *,
    expected: int,
    within: float,
    out: TextIO = sys.stderr,
    pause: Callable[[float], None] = time.sleep,
) -> runs.Progress:
    """Return a run's progress once everybody is planned and no message waits; draws a bar at a terminal.

    `expected` is the number of subscribers, for the bar. Raises `WatchError` after `within` seconds.
    """
    deadline = time.monotonic() + within
    drawn = out.isatty()
    while True:
        progress = runs.progress(run)
        settled = sum(progress.stopped.values()) + progress.logged
        if drawn:
            out.write(f"\r{bar(settled, expected)} people, {progress.waiting:,} messages on their way ")
            out.flush()
        if progress.complete and progress.audience:
            break
        if time.monotonic() > deadline:
            raise WatchError(f"{run.title!r} is not complete after {within:g} s: {progress}")
        pause(0.1)
    if drawn:
        out.write("\n")
    return progress


def sent_by_provider(run: Run) -> dict[str, int]:
    """Return how many messages each provider took, from the parcels' own counts."""
    sums: dict[str, int] = {}
    for provider, sent in Parcel.objects.filter(run=run).values_list("provider", "sent"):
        sums[provider] = sums.get(provider, 0) + sent
    return sums
