"""Versions of apps, as texts that sort the way versions do."""

import re

_LEADING = re.compile(r"\s*[vV]?(\d{1,6}(?:\.\d{1,6}){0,3})")


def in_order(version: str) -> str:
    """Return four zero-padded numbers (27 characters) that sort as the version does, or an empty text.

    What follows the numbers (`-beta`, a build) is left out: 2.0-beta counts as 2.0, and 2 as 2.0.0.0.
    """
    found = _LEADING.match(version)
    if not found:
        return ""
    numbers = found[1].split(".")
    return ".".join(number.zfill(6) for number in [*numbers, *["0"] * (4 - len(numbers))])
