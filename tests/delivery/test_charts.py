"""Colours of charts: whoever sees fewer colours tells them apart too, on the light page and on the dark one."""

from collections.abc import Iterable
from itertools import combinations, pairwise

import pytest

from delivery import charts
from delivery.admin.run_numbers import COLOURS

Colour = tuple[float, float, float]
SEEN = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no green": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "no blue": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""What people see of linear RGB (Machado, Oliveira, Fernandes 2009, severity 1)."""
APART = 25.0
"""CIE 1976 difference; two colours side by side are told apart from about 10 on."""
LIGHT, DARK = "#ffffff", "#111827"


def linear(colour: str) -> Colour:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return _linear(red), _linear(green), _linear(blue)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def weighed(colour: Colour, by: Iterable[float]) -> float:
    return min(1.0, max(0.0, sum(a * b for a, b in zip(by, colour, strict=True))))


def lab(colour: str, kind: str) -> Colour:
    red, green, blue = SEEN[kind]
    whole = linear(colour)
    seen = (weighed(whole, red), weighed(whole, green), weighed(whole, blue))
    x = weighed(seen, (0.4124 / 0.9505, 0.3576 / 0.9505, 0.1805 / 0.9505))
    y = weighed(seen, (0.2126, 0.7152, 0.0722))
    z = weighed(seen, (0.0193 / 1.089, 0.1192 / 1.089, 0.9505 / 1.089))
    a, b, c = (one ** (1 / 3) if one > 0.008856 else 7.787 * one + 16 / 116 for one in (x, y, z))
    return 116 * b - 16, 500 * (a - b), 200 * (b - c)


def contrast(one: str, other: str) -> float:
    low, high = sorted(weighed(linear(colour), (0.2126, 0.7152, 0.0722)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.parametrize("colours", [charts.COLOURS, tuple(COLOURS.values())], ids=["lines", "bar"])
def test_any_two_colours_are_told_apart_by_whoever_sees_fewer(colours: tuple[str, ...], kind: str) -> None:
    for one, other in combinations(colours, 2):
        pairs = zip(lab(one, kind), lab(other, kind), strict=True)
        assert sum((a - b) ** 2 for a, b in pairs) ** 0.5 >= APART, (one, other)


@pytest.mark.parametrize("page", [LIGHT, DARK])
def test_colours_stand_out_from_the_page(page: str) -> None:
    for colour in charts.COLOURS:
        assert contrast(colour, page) >= 3, colour


def test_lines_next_to_one_another_differ_by_their_dashes_too() -> None:
    drawn = charts.legend(["Delivered", "Displayed", "Opened", "Dismissed", "Converted"])
    assert len({(colour, dashes) for _name, colour, dashes in drawn}) == len(drawn)
    assert all(one[2] != other[2] for one, other in pairwise(drawn))
