"""The months that a log's partitions are cut by: a number that grows by one each month."""

from collections.abc import Iterator
from datetime import UTC, datetime


def month_of(at: float) -> int:
    """Return the month (years × 12 + month − 1, UTC) of an instant in epoch seconds."""
    when = datetime.fromtimestamp(at, UTC)
    return when.year * 12 + when.month - 1


def rising(first: float, last: float) -> Iterator[int]:
    """Yield the months from that of `first` to that of `last`."""
    yield from range(month_of(first), month_of(last) + 1)
