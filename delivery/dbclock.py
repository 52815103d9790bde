"""The one clock that leases, stamps and due instants are measured with: the database's."""

import time

from django.db import connection

from devices.statements import fetch


def now() -> float:
    """Return the database's clock in epoch seconds (on SQLite that is this machine's)."""
    if connection.vendor != "postgresql":
        return time.time()
    return float(fetch("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0])
