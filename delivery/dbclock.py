"""The one clock that leases, stamps and due instants are measured with: the database's."""

import time

from django.db import connection


def now() -> float:
    """Return the database's clock in epoch seconds (on SQLite that is this machine's)."""
    if connection.vendor != "postgresql":
        return time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(cursor.fetchone()[0])
