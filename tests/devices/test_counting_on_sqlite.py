"""What a deadline leaves of a count, where the clock is that of the work which SQLite does."""

import itertools
from typing import Any

import pytest

from devices import counting
from devices.models import Application
from tests.devices.test_counting import application, fill

__all__ = ["application"]


def test_a_small_audience_of_a_slow_predicate_is_sampled(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statements are ended by the database itself; its clock is that of the work it does."""
    ticks = itertools.count()
    monkeypatch.setattr(counting.time, "monotonic", lambda: next(ticks) * 0.001)
    fill(application, 4_000, lambda n: {"locale": "is" if n % 2 else "fr", "attributes": {"a": "x" * 90}})
    slow: Any = {
        "all": [
            {"locale": "is"},
            {"not": {"any": [{"attribute": "a", "contains": f"{n}"} for n in range(60)]}},
        ]
    }
    whole = counting.count(application, slow, seconds=1e9)
    needed = next(ticks) * 0.001
    before = next(ticks) * 0.001
    found = counting.count(application, slow, seconds=needed)
    assert next(ticks) * 0.001 - before <= needed * 1.05
    assert whole.exact and not found.exact
    assert abs(found.people - whole.people) <= 2 * found.margin
