"""The right size: a text that is too long for a provider is cut where a reader would, too large data is refused."""

from collections.abc import Callable

import msgspec
import regex

from delivery.content import Content

ELLIPSIS = "…"
TEXTS = ("body", "subtitle", "title")
"""What may be cut, in this order."""

_graphemes = regex.compile(r"\X")

Weigh = Callable[[Content], int]
"""Returns the bytes of a content at its provider."""


class TooLargeError(ValueError):
    """A content that does not fit however its texts are cut: `size` and `limit` in bytes."""

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(f"{size:,} bytes, of which the provider takes {limit:,}")

    @property
    def reason(self) -> str:
        """The reason code; the size itself is left out, so that a run's messages are counted together."""
        return f"payload_too_large:{self.limit}"


def fitted(content: Content, weigh: Weigh, limit: int) -> Content:
    """Return the content with its texts cut until it has at most `limit` bytes; the same object if it has.

    Cut is between grapheme clusters (UAX #29), so that no letter loses its accent and no flag falls apart, and an
    ellipsis stands at the end. The title is never cut away: raises `TooLargeError` when nothing of it would be left.
    """
    size = weigh(content)
    if size <= limit:
        return content
    shortest = content
    for field in TEXTS:
        text = getattr(shortest, field)
        if not text:
            continue
        longer, shortest = shortest, msgspec.structs.replace(shortest, **{field: ELLIPSIS})
        if weigh(shortest) <= limit:
            found = _longest(longer, field, weigh, limit)
            if found is not None:
                return found
    raise TooLargeError(size, limit)


def _longest(content: Content, field: str, weigh: Weigh, limit: int) -> Content | None:
    """Return the content with as much of a text as fits before the ellipsis.

    None for a title of which nothing would be left.
    """
    text = getattr(content, field)
    ends = [match.end() for match in _graphemes.finditer(text)]

    def cut(count: int) -> Content:
        kept = text[: ends[count - 1]].rstrip() if count else ""
        return msgspec.structs.replace(content, **{field: kept + ELLIPSIS})

    fits, too_many = 0, len(ends)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if weigh(cut(middle)) <= limit:
            fits = middle
        else:
            too_many = middle
    return None if field == "title" and not fits else cut(fits)
