"""Charts as SVG, drawn on the server: horizontal bars, a stacked bar and columns.

A chart is one picture with a sentence for those who do not see it; the table of the same numbers stands beside it.
Colours are those of Okabe and Ito, which people with any colour blindness tell apart, of the darkness that both
the light and the dark page need (3 : 1); text takes the page's own colour.
"""

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#2a7fb8", "#c27a00", "#0a8f69", "#d55e00", "#b0609a", "#7a7f87"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)

WIDTH = 720
_ROW, _BAR, _GAP = 44, 16, 20

Part = tuple[str, float, str]
"""What a piece of a stacked bar is, how large, and its colour."""


def bars(rows: Sequence[tuple[str, float, str]], *, says: str, colour: str = BLUE) -> SafeString:
    """Return horizontal bars of (label, share of the widest from 0 to 1, what stands behind it)."""
    drawn = format_html_join(
        "",
        '<text x="0" y="{}" font-size="14" fill="currentColor">{}</text>'
        '<text x="{}" y="{}" font-size="14" text-anchor="end" fill="currentColor">{}</text>'
        '<rect x="0" y="{}" width="{}" height="{}" rx="3" fill="currentColor" opacity="0.12"/>'
        '<rect x="0" y="{}" width="{}" height="{}" rx="3" fill="{}"/>',
        (
            (
                *(top + 14, label, WIDTH, top + 14, value),
                *(top + _GAP, WIDTH, _BAR),
                *(top + _GAP, _length(share), _BAR, colour),
            )
            for top, (label, share, value) in zip(range(0, len(rows) * _ROW, _ROW), rows, strict=False)
        ),
    )
    return _picture(drawn, height=max(_ROW, len(rows) * _ROW), says=says)


def stacked(parts: Sequence[Part], *, says: str) -> SafeString:
    """Return one bar of parts; what has no size is not drawn."""
    whole = sum(size for _, size, _ in parts) or 1.0
    pieces = []
    at = 0.0
    for label, size, colour in parts:
        if size > 0:
            wide = WIDTH * size / whole
            pieces.append((f"{at:.1f}", f"{max(wide - 1.5, 1.0):.1f}", colour, label))
            at += wide
    drawn = format_html_join(
        "", '<rect x="{}" y="0" width="{}" height="20" fill="{}"><title>{}</title></rect>', pieces
    )
    return _picture(drawn, height=20, says=says, stretched=True)


def columns(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], *, says: str, high: int = 220
) -> SafeString:
    """Return lines over the same labels, one a series, each named at its end; 0 at the bottom."""
    most = max((max(counts, default=0) for _, counts in series), default=0) or 1
    left, top, bottom, right = 56, 12, 24, 8
    wide, tall = WIDTH - left - right, high - top - bottom
    step = wide / max(len(labels) - 1, 1)

    def place(index: int, count: int) -> str:
        return f"{left + index * step:.1f},{top + tall - tall * count / most:.1f}"

    grid = format_html_join(
        "",
        '<line x1="{0}" x2="{1}" y1="{2}" y2="{2}" stroke="currentColor" opacity="0.15"/>'
        '<text x="{3}" y="{4}" font-size="12" text-anchor="end" fill="currentColor">{5}</text>',
        (
            (left, WIDTH - right, f"{y:.1f}", left - 6, f"{y + 4:.1f}", f"{most * share:,.0f}")
            for share in ((0.0, 0.5, 1.0) if most > 1 else (0.0, 1.0))
            for y in [top + tall - tall * share]
        ),
    )
    every = max(1, -(-len(labels) // 8))
    beneath = format_html_join(
        "",
        '<text x="{}" y="{}" font-size="12" text-anchor="middle" fill="currentColor">{}</text>',
        (
            (f"{left + index * step:.1f}", high - 6, label)
            for index, label in enumerate(labels)
            if index % every == 0 and index * step < wide - 20
        ),
    )
    lines = format_html_join(
        "",
        '<polyline points="{}" fill="none" stroke="{}" stroke-width="2.5" stroke-dasharray="{}"'
        ' stroke-linejoin="round"/>',
        (
            (
                " ".join(place(index, count) for index, count in enumerate(counts))
                if len(counts) > 1
                else f"{place(0, counts[0])} {left + wide},{place(0, counts[0]).partition(',')[2]}",
                COLOURS[number % len(COLOURS)],
                DASHES[number % len(DASHES)],
            )
            for number, (_, counts) in enumerate(series)
            if counts
        ),
    )
    return _picture(grid + beneath + lines, height=high, says=says)


DASHES = ("", "8 4", "2 4", "12 4 2 4")
"""Lines differ by their dashes too."""


def legend(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return (name, colour, dashes) of each series of `columns`, in order."""
    return [(name, COLOURS[at % len(COLOURS)], DASHES[at % len(DASHES)]) for at, name in enumerate(names)]


def interval(
    rows: Sequence[tuple[str, float, float, float]], *, says: str, low: float, high: float
) -> SafeString:
    """Return a line from low to high with its middle for each (label, low, value, high), and where 0 is."""
    left, span = 150, (high - low) or 1.0

    def x(value: float) -> str:
        return f"{left + (WIDTH - left - 10) * (min(max(value, low), high) - low) / span:.1f}"

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
    zero = format_html(
        '<line x1="{0}" x2="{0}" y1="0" y2="{1}" stroke="currentColor" opacity="0.5" stroke-dasharray="4 4"/>',
        x(0.0),
        len(rows) * 32,
    )
    return _picture(
        (zero if low <= 0.0 <= high else SafeString("")) + drawn, height=len(rows) * 32, says=says
    )


def _length(share: float) -> str:
    return f"{WIDTH * min(max(share, 0.0), 1.0):.1f}"


def _picture(drawn: SafeString, *, height: int, says: str, stretched: bool = False) -> SafeString:
    """Return the drawing as a picture that is as wide as its place."""
    keep = SafeString(' preserveAspectRatio="none" style="height:20px"') if stretched else SafeString("")
    return format_html(
        '<svg viewBox="0 0 {} {}" width="100%" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg"{}>{}</svg>',
        WIDTH,
        height,
        says,
        keep,
        drawn,
    )
