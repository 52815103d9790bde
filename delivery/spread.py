"""To whom a page's notifications went: people by language and messages by platform, each by variant of an experiment.

A page keeps its spread as `{"locale": {"B|de": 12}, "platform": {"B|ios": 14}}`, where the part before the bar
is empty without an experiment; a run's is the sum of its pages'.
"""

from collections.abc import Mapping

Spread = dict[str, dict[str, int]]
LOCALE, PLATFORM = "locale", "platform"
"""The two dimensions: people told, and messages to devices."""


def mark(variant: str, value: str) -> str:
    """Return what a value is counted under."""
    return f"{variant}|{value}"


def parts(marked: str) -> tuple[str, str]:
    """Return the variant and the value of `mark`."""
    variant, _, value = marked.partition("|")
    return variant, value


def by_value(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by value, whatever the variant."""
    return _by(counts, 1)


def by_variant(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by variant, whatever the value."""
    return _by(counts, 0)


def _by(counts: Mapping[str, int], part: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for marked, count in counts.items():
        key = parts(marked)[part]
        found[key] = found.get(key, 0) + count
    return dict(sorted(found.items()))
