"""Charts as SVG, drawn on the server: horizontal bars, a stacked bar, lines over hours, intervals.

A chart is a picture with a sentence for those who do not see it; the table of the same numbers stands beside it. It is
drawn twice, for wide and for narrow screens, so that its letters have the page's size on both. People with
any colour blindness tell any two of the colours apart, which have the darkness that both the light and the dark page
need (3 : 1); text takes the page's own colour.
"""

import math
from collections.abc import Callable, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#145ff8", "#d77e01", "#06a86e", "#c12b2b", "#ac54bf", "#636574"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
DASHES = ("", "8 4", "2 4", "12 4 2 4")
"""Lines differ by their dashes too."""

WIDE, HALF, NARROW = 960, 460, 340
"""Widths that pictures are drawn for: a wide page, half of one, a phone."""
_ROW, _BAR, _GAP = 46, 16, 22

Part = tuple[str, float, str]
"""What a piece of a stacked bar is, how large, and its colour."""
Drawing = Callable[[int], tuple[SafeString, int]]
"""Draws for a width; returns what it drew and its height."""


def bars(
    rows: Sequence[tuple[str, float, str]], *, says: str, colour: str = BLUE, half: bool = False
) -> SafeString:
    """Return horizontal bars of (label, share of the widest from 0 to 1, what stands behind it).

    `half`: for half of a wide page.
    """

    def draw(width: int) -> tuple[SafeString, int]:
        tops = range(0, len(rows) * _ROW, _ROW)
        pieces = (
            (
                *(top + 14, _cut(label, width, value)),
                *(width, top + 14, value),
                *(top + _GAP, width, _BAR),
                *(top + _GAP, f"{width * min(max(share, 0.0), 1.0):.1f}", _BAR, colour),
            )
            for top, (label, share, value) in zip(tops, rows, strict=True)
        )
        drawn = format_html_join(
            "",
            '<text x="0" y="{}" font-size="14" fill="currentColor">{}</text>'
            '<text x="{}" y="{}" font-size="14" text-anchor="end" fill="currentColor">{}</text>'
            '<rect x="0" y="{}" width="{}" height="{}" rx="3" fill="currentColor" opacity="0.12"/>'
            '<rect x="0" y="{}" width="{}" height="{}" rx="3" fill="{}"/>',
            pieces,
        )
        return drawn, max(_ROW, len(rows) * _ROW)

    return _pictures(draw, says=says, half=half)


def stacked(parts: Sequence[Part], *, says: str) -> SafeString:
    """Return one bar of parts, as wide as its place; what has no size is not drawn."""
    whole = sum(size for _, size, _ in parts) or 1.0
    pieces = []
    at = 0.0
    for label, size, colour in parts:
        if size > 0:
            wide = WIDE * size / whole
            pieces.append((f"{at:.1f}", f"{max(wide - 1.5, 1.0):.1f}", colour, label))
            at += wide
    drawn = format_html_join(
        "", '<rect x="{}" y="0" width="{}" height="20" fill="{}"><title>{}</title></rect>', pieces
    )
    return format_html(
        '<svg viewBox="0 0 {} 20" width="100%" height="20" preserveAspectRatio="none" role="img" aria-label="{}"'
        ' xmlns="http://www.w3.org/2000/svg">{}</svg>',
        WIDE,
        says,
        drawn,
    )


def lines(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], *, says: str, high: int = 220
) -> SafeString:
    """Return lines over the same labels, one a series, in the order of `legend`; 0 at the bottom."""
    most = _round_up(max((max(counts, default=0) for _, counts in series), default=0))
    left, top, bottom, right = 56, 12, 24, 8
    tall = high - top - bottom

    def draw(width: int) -> tuple[SafeString, int]:
        wide = width - left - right
        step = wide / max(len(labels) - 1, 1)

        def place(index: int, count: int) -> str:
            return f"{left + index * step:.1f},{top + tall - tall * count / most:.1f}"

        def path(counts: Sequence[int]) -> str:
            several = [place(index, count) for index, count in enumerate(counts)]
            # one point alone is drawn as a short line
            more = [] if len(several) > 1 else [f"{left + 8},{several[0].partition(',')[2]}"]
            return " ".join([*several, *more])

        grid = format_html_join(
            "",
            '<line x1="{0}" x2="{1}" y1="{2}" y2="{2}" stroke="currentColor" opacity="0.15"/>'
            '<text x="{3}" y="{4}" font-size="13" text-anchor="end" fill="currentColor">{5}</text>',
            (
                (left, width - right, f"{y:.1f}", left - 6, f"{y + 4:.1f}", f"{most * share:,.0f}")
                for share in ((0.0, 0.5, 1.0) if most > 1 else (0.0, 1.0))
                for y in [top + tall - tall * share]
            ),
        )
        every = max(1, -(-len(labels) // (8 if width > NARROW else 3)))
        beneath = format_html_join(
            "",
            '<text x="{}" y="{}" font-size="13" text-anchor="middle" fill="currentColor">{}</text>',
            (
                (f"{left + index * step:.1f}", high - 6, label)
                for index, label in enumerate(labels)
                if index % every == 0 and index * step < wide - 20
            ),
        )
        drawn = format_html_join(
            "",
            '<polyline points="{}" fill="none" stroke="{}" stroke-width="2.5" stroke-dasharray="{}"'
            ' stroke-linejoin="round" stroke-linecap="round"/>',
            (
                (path(counts), COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)])
                for number, (_, counts) in enumerate(series)
                if counts
            ),
        )
        return grid + beneath + drawn, high

    return _pictures(draw, says=says)


def legend(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return (name, colour, dashes) of each series of `lines`, in order."""
    return [(name, COLOURS[at % len(COLOURS)], DASHES[at % len(DASHES)]) for at, name in enumerate(names)]


def intervals(rows: Sequence[tuple[str, float, float, float]], *, says: str) -> SafeString:
    """Return a line from low to high with its middle for each (label, low, value, high), over an axis in per cent."""
    low = min([0.0, *(row[1] for row in rows)])
    high = max([0.0, *(row[3] for row in rows)])
    marks = sorted({low, 0.0, high})
    margin = (high - low) * 0.05 or 0.01
    low, high = low - margin if low else low, high + margin

    def draw(width: int) -> tuple[SafeString, int]:
        left = min(150, width // 4)

        def x(value: float) -> str:
            return f"{left + (width - left - 30) * (value - low) / (high - low):.1f}"

        deep = len(rows) * 32
        drawn = format_html_join(
            "",
            '<text x="0" y="{0}" font-size="14" fill="currentColor">{1}</text>'
            '<line x1="{2}" x2="{3}" y1="{4}" y2="{4}" stroke="{5}" stroke-width="4" stroke-linecap="round"/>'
            '<circle cx="{6}" cy="{4}" r="6" fill="{5}"/>',
            (
                (at * 32 + 20, label, x(begin), x(end), at * 32 + 15, BLUE, x(value))
                for at, (label, begin, value, end) in enumerate(rows)
            ),
        )
        axis = format_html_join(
            "",
            '<line x1="{0}" x2="{0}" y1="0" y2="{1}" stroke="currentColor" opacity="{2}"/>'
            '<text x="{0}" y="{3}" font-size="13" text-anchor="middle" fill="currentColor">{4}</text>',
            (
                (x(value), deep + 2, "0.6" if value == 0 else "0.15", deep + 18, f"{value:.1%}")
                for value in marks
            ),
        )
        return axis + drawn, deep + 24

    return _pictures(draw, says=says)


def _round_up(value: float) -> float:
    """Return the next number that reads well and whose half does: 2, 4, 10, 20, 40, 100, …"""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def _cut(label: str, width: int, value: str) -> str:
    """Return a label that leaves room for what stands behind it."""
    room = max(6, width // 8 - len(value))
    return label if len(label) <= room else f"{label[: room - 1]}…"


def _pictures(draw: Drawing, *, says: str, half: bool = False) -> SafeString:
    wide = HALF if half else WIDE
    return format_html(
        '<div class="nh-chart nh-on-wide">{}</div><div class="nh-chart nh-on-narrow">{}</div>',
        _picture(*draw(wide), wide, says),
        _picture(*draw(NARROW), NARROW, says),
    )


def _picture(drawn: SafeString, height: int, width: int, says: str) -> SafeString:
    return format_html(
        '<svg viewBox="0 0 {0} {1}" width="100%" style="max-width: {0}px" role="img" aria-label="{2}"'
        ' xmlns="http://www.w3.org/2000/svg">{3}</svg>',
        width,
        height,
        says,
        drawn,
    )
