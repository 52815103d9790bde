"""The one clock that leases, stamps and due instants are measured with: the database's.

It is read once a second and counted on by this machine's steady clock, which goes on while a process is stopped or
the machine sleeps: a statement each time was a tenth of what a page costs.
"""

import time

from devices.statements import POSTGRESQL, fetch

READ_EVERY = 1.0
CLOSE = 0.1
"""Seconds that a reading may take to be counted on: half of it is how far it may be off."""
SLACK = 0.1
"""By so many seconds the readings of two processes may differ: what is due at once is due that much ago."""

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_read: tuple[float, float] | None = None
"""When the database's clock was read, and how far it is ahead of the steady clock."""


def now() -> float:
    """Return the database's clock in epoch seconds (on SQLite that is this machine's)."""
    global _read
    if not POSTGRESQL:
        return time.time()
    before, known = time.clock_gettime(_STEADY), _read
    if known is not None and before - known[0] < READ_EVERY:
        return before + known[1]
    instant = float(fetch("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0])
    after = time.clock_gettime(_STEADY)
    if after - before < CLOSE:
        _read = (after, instant - (before + after) / 2)
    return instant


def due(instant: float, *, now: float) -> float:
    """Return the instant to write for something due at `instant`, so that whoever hears the bell finds it due."""
    return instant if instant > now else now - SLACK
